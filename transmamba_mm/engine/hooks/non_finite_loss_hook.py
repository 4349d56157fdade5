"""Stop at the first loss that is NaN or infinite, and name the layer that produced it."""

from collections.abc import Iterator, Mapping

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.registry import HOOKS

TEACHER = 'teacher.'  # before the names of its modules, which no module of a transfer has


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Raises :class:`UserError` on the first non-finite loss, before it reaches a weight.

    It listens to the model's own forward, so it acts between the forward and the backward pass; the
    runner reads every loss anyway, so the check costs nothing. Only when a loss is not finite, the
    same batch runs once more with every module watched, to name the first one whose output is bad.
    Of a transfer, the teacher's modules are watched too, and its outputs are checked at every step
    for NaN and infinity (-inf may be a mask): a hard label computed from them would be a plain
    number.
    """

    def before_train(self, runner: Runner) -> None:
        """Start listening."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        teacher = getattr(model, 'teacher', None)

        def check(model: nn.Module, args: tuple, kwargs: dict, output: object) -> None:
            if model.training and isinstance(output, dict):
                bad = [name for name, loss in output.items() if not _is_finite(loss)]
                if bad:
                    raise UserError(_report(runner, bad, model, args, kwargs))

        def check_teacher(model: nn.Module, args: tuple, kwargs: dict, output: object) -> None:
            if not all(bool((tensor < torch.inf).all()) for tensor in _tensors(output)):
                found = _first_bad_module(dict(model.named_modules()), model, args, kwargs)
                raise UserError(_blame_teacher(teacher.source, found, _when(runner)))

        self._handles = [model.register_forward_hook(check, with_kwargs=True)]
        if teacher is not None:
            handle = teacher.model.register_forward_hook(check_teacher, with_kwargs=True)
            self._handles.append(handle)

    def after_train(self, runner: Runner) -> None:
        """Stop listening."""
        for handle in self._handles:
            handle.remove()


def _tensors(value: object) -> Iterator[Tensor]:
    """All tensors in a nest of tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)


def _is_finite(value: object) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in _tensors(value))


def _first_bad_module(
    modules: Mapping[str, nn.Module], model: nn.Module, args: tuple, kwargs: dict
) -> str | None:
    """Run the batch again; the first of the modules with a non-finite output, if any has one."""
    found: list[str] = []

    def watch(name: str):
        def look(module: nn.Module, inputs: tuple, output: object) -> None:
            if not found and not _is_finite(output):
                found.append(f'{name} ({type(module).__name__})')

        return look

    handles = [
        module.register_forward_hook(watch(name)) for name, module in modules.items() if name
    ]
    try:
        with torch.no_grad():
            model.forward(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def _report(runner: Runner, losses: list[str], model: nn.Module, args: tuple, kwargs: dict) -> str:
    """Report the non-finite values, their origin and possible fixes."""
    what = f'{", ".join(losses)} became non-finite at {_when(runner)}.'
    if not (_is_finite(args) and _is_finite(kwargs)):
        return f'{what} The batch itself holds non-finite values: check the data.'
    teacher = getattr(model, 'teacher', None)
    modules = dict(model.named_modules())
    if teacher is not None:
        theirs = teacher.model.named_modules()
        modules |= {f'{TEACHER}{name}': part for name, part in theirs if name}
    broken = [name for name, weight in model.named_parameters() if not _is_finite(weight)]
    found = _first_bad_module(modules, model, args, kwargs)
    if found and found.startswith(TEACHER):
        return f'{what} {_blame_teacher(teacher.source, found.removeprefix(TEACHER))}'
    if broken:
        cause = f'The weights became non-finite in the last update, first in {broken[0]}.'
    elif found:
        cause = f'The first module with a non-finite output is {found}.'
    else:
        cause = (
            'Every module had finite outputs when the batch ran again: the loss itself overflowed.'
        )
    return f'{what} {cause} Try: {"; ".join(_advice(runner))}.'


def _blame_teacher(source: str, found: str | None, when: str = '') -> str:
    where = f', first in {found}' if found else ''
    return (
        f'The teacher ({source}) gives NaN or infinite values{f" at {when}" if when else ""}'
        f'{where}: the student has no part in it. Name another checkpoint '
        '(model.teacher.checkpoint), or the mean, std and img_size that it was trained with.'
    )


def _when(runner: Runner) -> str:
    return f'epoch {runner.epoch + 1}, iteration {runner.iter + 1}'


def _advice(runner: Runner) -> list[str]:
    advice = ['lower the learning rate (optim_wrapper.optimizer.lr) or warm up longer']
    if not getattr(runner.optim_wrapper, 'clip_grad_kwargs', None):
        advice.append('clip gradients (optim_wrapper.clip_grad.max_norm=1.0)')
    kind = type(runner.optim_wrapper).__name__
    if kind == 'AmpOptimWrapper':
        advice.append('train without --amp, or in bfloat16 (optim_wrapper.dtype=bfloat16)')
    elif kind == 'CpuAmpOptimWrapper':
        advice.append('train without --amp')
    return advice
