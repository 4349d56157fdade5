"""Check that a module's initial weights fit it.

mmengine only logs a mismatch, and the module stays random there.
"""

from collections.abc import Mapping
from urllib.parse import urlparse

from torch import Tensor, nn

from transmamba_mm.checkpoint import load_state_dict
from transmamba_mm.errors import UserError
from transmamba_mm.openai_clip import explain_clip, is_openai_clip
from transmamba_mm.transfer_checkpoint import take_student


def check_pretrained(module: nn.Module, place: str) -> None:
    """Check that each ``init_cfg=dict(type='Pretrained')`` of a module fits it.

    Args:
        module (nn.Module): Of mmengine.
        place (str): Of its ``init_cfg``, for the message.

    Raises:
        UserError: As :func:`check_fit`; a file that cannot be read without running code; nothing
            below the prefix.
    """
    given = getattr(module, 'init_cfg', None)
    for init in given if isinstance(given, list | tuple) else [given]:
        if isinstance(init, dict) and init.get('type') == 'Pretrained':
            source = init.get('checkpoint')  # mmengine handles other values
            if isinstance(source, str) and urlparse(source).scheme in ('', 'http', 'https'):
                _check_pretrained(place, source, init.get('prefix'), module)


def _check_pretrained(place: str, source: str, prefix: str | None, module: nn.Module) -> None:
    weights = load_state_dict(source)
    if is_openai_clip(weights):
        raise UserError(f'{place}: {explain_clip(source)}')
    prefix = (prefix or '').rstrip('.')
    if prefix:  # as mmengine does it
        prefix += '.'
        weights = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    if not weights:
        raise UserError(f'{place}: {source} has no tensor with prefix={prefix!r}.')
    check_fit(f'{place}.checkpoint={source}', weights, module, _prefix(weights, module))


def check_fit(
    setting: str, weights: Mapping[str, Tensor], module: nn.Module, advice: str = ''
) -> None:
    """Make sure that weights are of a module.

    A part may be missing, such as a head for other classes: a quarter of the weights, or of what
    they fill, has to fit.

    Args:
        setting (str): Where a config names them.
        weights (Mapping[str, Tensor]): Of the module, or of a transfer whose student it is.
        module (nn.Module): To be filled.
        advice (str): Ends the message's reason.

    Raises:
        UserError: Most tensors have neither the name nor the shape of one of the module's.
    """
    weights, own = dict(weights), dict(module.state_dict())
    for state in (weights, own):
        take_student(state)
    fitting = [key for key in weights if key in own and own[key].shape == weights[key].shape]
    sizes = [sum(map(Tensor.numel, state.values())) for state in (weights, own)]
    if 4 * sum(own[key].numel() for key in fitting) >= min(sizes):
        return
    first = next(key for key in weights if key not in fitting)
    shape = f', {tuple(own[first].shape)} in the model' if first in own else ''
    raise UserError(
        f'{setting} does not fit the {type(module).__name__}: {len(fitting)} of its {len(weights)} '
        f'tensors fit, the first that does not is {first} {tuple(weights[first].shape)}{shape}.'
        f'{advice} Name a checkpoint of this model, or remove it.'
    )


def _prefix(weights: Mapping[str, Tensor], module: nn.Module) -> str:
    """Advice for weights that lie deeper in the checkpoint."""
    key = next(iter(module.state_dict()))
    inner = [name.removesuffix(key) for name in weights if name.endswith(f'.{key}')]
    return f' Set prefix={inner[0]!r} beside it.' if inner else ''
