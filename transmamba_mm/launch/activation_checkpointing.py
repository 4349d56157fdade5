"""The ``activation_checkpointing`` of a config: the modules recomputed in the backward pass."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial, wraps

from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from transmamba_mm.errors import UserError, did_you_mean


def checkpoint_activations(cfg: Config, model: nn.Module) -> None:
    """Turn on ``activation_checkpointing`` in a model, in the place of mmengine's Runner.

    The Runner's form is reentrant: modules whose inputs need no gradient, such as a patch
    embedding, are silently not trained, and modules that take keywords fail.

    Args:
        cfg (Config): Of the Runner, which finds nothing to do afterwards: the paths of modules, a
            list or a single one, are taken out.
        model (nn.Module): To be trained.

    Raises:
        UserError: A path that the model does not have.
    """
    paths = cfg.pop('activation_checkpointing', None)
    paths = [paths] if isinstance(paths, str) else paths or []
    modules = dict(model.named_modules())
    for path in paths:
        if path not in modules:
            raise UserError(
                f'activation_checkpointing names {path!r}, which is not a module of the '
                f'{type(model).__name__}.{did_you_mean(str(path), list(modules))}'
            )
        modules[path].forward = _recomputed(modules[path])
    if paths:
        MMLogger.get_current_instance().info(f'Recomputed in the backward pass: {", ".join(paths)}')


def _recomputed(module: nn.Module) -> Callable:
    forward = module.forward
    contexts = partial(_contexts, module)
    return wraps(forward)(partial(checkpoint, forward, use_reentrant=False, context_fn=contexts))


def _contexts(module: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    """Contexts of the forward pass and of its recomputation."""
    return nullcontext(), _unchanged_statistics(module)


@contextmanager
def _unchanged_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch norms count a batch once: the forward pass has done so already."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    before = [(norm, norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, batches in before:
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(batches)
