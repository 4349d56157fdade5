"""The ``activation_checkpointing`` of a config: what the backward pass computes once more."""

from collections.abc import Callable
from functools import partial, wraps

from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import nn
from torch.utils.checkpoint import checkpoint

from transmamba_mm.errors import UserError, nearest


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
                f'activation_checkpointing names {path!r}, which is no module of the '
                f'{type(model).__name__}.{nearest(str(path), list(modules))}'
            )
        modules[path].forward = _recomputed(modules[path].forward)
    if paths:
        MMLogger.get_current_instance().info(f'Recomputed in the backward pass: {", ".join(paths)}')


def _recomputed(forward: Callable) -> Callable:
    return wraps(forward)(partial(checkpoint, forward, use_reentrant=False))
