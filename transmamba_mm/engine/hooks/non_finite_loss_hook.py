"""Stop at the first loss that is NaN or infinite, and say which layer it came from."""

from collections.abc import Iterator

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.registry import HOOKS


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Raises :class:`UserError` on the first non-finite loss, before it reaches a weight.

    It listens to the model's own forward, so it acts between the forward and the backward pass; the
    runner reads every loss anyway, so looking costs nothing. Only when a loss is not finite, the
    same batch runs once more with every module watched, to name the first one whose output is bad.
    """

    def before_train(self, runner: Runner) -> None:
        """Start listening."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model

        def check(model: nn.Module, args: tuple, kwargs: dict, output: object) -> None:
            if model.training and isinstance(output, dict):
                bad = [name for name, loss in output.items() if not _is_finite(loss)]
                if bad:
                    raise UserError(_report(runner, bad, _first_bad_module(model, args, kwargs)))

        self._handle = model.register_forward_hook(check, with_kwargs=True)

    def after_train(self, runner: Runner) -> None:
        """Stop listening."""
        self._handle.remove()


def _tensors(value: object) -> Iterator[Tensor]:
    """All tensors in a nest of tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)


def _is_finite(value: object) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in _tensors(value))


def _first_bad_module(model: nn.Module, args: tuple, kwargs: dict) -> str:
    """Run the batch again and describe where the first non-finite value appears."""
    if not (_is_finite(args) and _is_finite(kwargs)):
        return 'The batch itself holds non-finite values: look at the data.'
    broken = [name for name, weight in model.named_parameters() if not _is_finite(weight)]
    if broken:
        return f'The weights are already non-finite, first in {broken[0]}: the last update did it.'

    found: list[str] = []

    def watch(name: str):
        def look(module: nn.Module, inputs: tuple, output: object) -> None:
            if not found and not _is_finite(output):
                found.append(f'{name} ({type(module).__name__})')

        return look

    watched = [(name, module) for name, module in model.named_modules() if name]
    handles = [module.register_forward_hook(watch(name)) for name, module in watched]
    try:
        with torch.no_grad():
            model.forward(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    if found:
        return f'The first module with a non-finite output is {found[0]}.'
    return 'Every module had finite outputs when the batch ran again: the loss itself overflowed.'


def _report(runner: Runner, losses: list[str], cause: str) -> str:
    advice = ['lower the learning rate (optim_wrapper.optimizer.lr) or warm up longer']
    if not getattr(runner.optim_wrapper, 'clip_grad_kwargs', None):
        advice.append('clip gradients (optim_wrapper.clip_grad.max_norm=1.0)')
    if type(runner.optim_wrapper).__name__ == 'AmpOptimWrapper':
        advice.append('train without --amp, or in bfloat16 (optim_wrapper.dtype=bfloat16)')
    where = f'epoch {runner.epoch + 1}, iteration {runner.iter + 1}'
    return f'{", ".join(losses)} became non-finite at {where}. {cause} Try: {"; ".join(advice)}.'
