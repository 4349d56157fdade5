"""Where a training begins."""

from pathlib import Path
from urllib.parse import urlparse

from mmengine.config import Config
from torch import Tensor, nn

from transmamba_mm.checkpoint import load_state_dict, resolve_checkpoint
from transmamba_mm.errors import UserError
from transmamba_mm.openai_clip import explain_clip, is_openai_clip
from transmamba_mm.transfer.student import student_weights


def check_load_from(cfg: Config, model: nn.Module) -> None:
    """Make sure that ``load_from`` and every ``init_cfg=Pretrained`` are of what they fill.

    mmengine would only log what does not fit, and train from random weights. A part may be missing,
    such as a head for other classes: a quarter of the checkpoint, or of what it fills, has to fit.
    A training that goes on (``resume``) is left to mmengine, which finds out by the optimizer's
    state.

    Args:
        cfg (Config): Of the training.
        model (nn.Module): To be trained.

    Raises:
        UserError: Most tensors have neither the name nor the shape of one of the model's; not the
            .pth file that mmengine reads.
    """
    if cfg.get('resume'):
        return
    for path, module in model.named_modules():
        for init in _pretrained(module):
            _check_pretrained(f'{path}.init_cfg' if path else 'init_cfg', init, module)
    source = cfg.get('load_from')
    if not source:
        return
    file = resolve_checkpoint(source)
    weights = load_state_dict(file)
    if is_openai_clip(weights):
        raise UserError(f'load_from: {explain_clip(source)}')
    if urlparse(source).scheme == '' and not source.endswith('.pth'):
        raise UserError(f'load_from={source} has to be a .pth file{_example(file)}.')
    _check_fit(f'load_from={source}', weights, model)


def _pretrained(module: nn.Module) -> list[dict]:
    given = getattr(module, 'init_cfg', None)
    listed = given if isinstance(given, list | tuple) else [given]
    wanted = [i for i in listed if isinstance(i, dict) and i.get('type') == 'Pretrained']
    return [i for i in wanted if isinstance(i.get('checkpoint'), str)]  # others mmengine refuses


def _check_pretrained(place: str, init: dict, module: nn.Module) -> None:
    if urlparse(init['checkpoint']).scheme not in ('', 'http', 'https'):
        return  # mmengine's own names, such as torchvision://resnet50
    weights = load_state_dict(init['checkpoint'])
    prefix = (init.get('prefix') or '').rstrip('.')
    if prefix:  # as mmengine does it
        prefix += '.'
        weights = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    if not weights:
        raise UserError(
            f'{place}: {init["checkpoint"]} has nothing whose name begins with prefix={prefix!r}.'
        )
    advice = _prefix(weights, module.state_dict())
    _check_fit(f'{place}.checkpoint={init["checkpoint"]}', weights, module, advice)


def _check_fit(setting: str, weights: dict, module: nn.Module, advice: str = '') -> None:
    weights, own = student_weights(weights), student_weights(module.state_dict())
    fitting = [key for key in weights if key in own and own[key].shape == weights[key].shape]
    sizes = [sum(map(Tensor.numel, state.values())) for state in (weights, own)]
    if 4 * sum(own[key].numel() for key in fitting) >= min(sizes):
        return
    first = next((key for key in weights if key not in fitting), None)
    raise UserError(
        f'{setting} is not of the {type(module).__name__}: {len(fitting)} of its {len(weights)} '
        f'tensors fit, the first that does not is {first} {tuple(weights[first].shape)}'
        f'{_own_shape(own, first)}.{advice} Name a checkpoint of this model, or '
        'leave it away.'
    )


def _own_shape(own: dict, key: str) -> str:
    return f', {tuple(own[key].shape)} in the model' if key in own else ''


def _prefix(weights: dict, own: dict) -> str:
    """Advice for weights that lie deeper in the checkpoint."""
    key = next(iter(own))
    inner = [name.removesuffix(key) for name in weights if name.endswith(f'.{key}')]
    return f' Set prefix={inner[0]!r} beside it.' if inner else ''


def _example(file: Path) -> str:
    return f', such as {file}' if file.suffix == '.pth' else ''
