"""Check the initial weights of a training."""

from pathlib import Path
from urllib.parse import urlparse

from mmengine.config import Config
from torch import nn

from transmamba_mm.checkpoint import load_state_dict, resolve_checkpoint
from transmamba_mm.errors import UserError
from transmamba_mm.openai_clip import explain_clip, is_openai_clip
from transmamba_mm.pretrained_init import check_fit, check_pretrained


def check_load_from(cfg: Config, model: nn.Module) -> None:
    """Check that ``load_from`` and every ``init_cfg=Pretrained`` fit the model.

    A resumed training (``resume``) is left to mmengine, which finds out by the optimizer's
    state.

    Args:
        cfg (Config): Of the training.
        model (nn.Module): To be trained.

    Raises:
        UserError: As :func:`~transmamba_mm.pretrained_init.check_fit`; not the .pth file that
            mmengine reads.
    """
    if cfg.get('resume'):
        return
    for path, module in model.named_modules():
        check_pretrained(module, f'{path}.init_cfg' if path else 'init_cfg')
    source = cfg.get('load_from')
    if not source:
        return
    file = resolve_checkpoint(source)
    weights = load_state_dict(file)
    if is_openai_clip(weights):
        raise UserError(f'load_from: {explain_clip(source)}')
    if urlparse(source).scheme == '' and not source.endswith('.pth'):
        raise UserError(f'load_from={source} has to be a .pth file{_example(file)}.')
    check_fit(f'load_from={source}', weights, model)


def _example(file: Path) -> str:
    return f', such as {file}' if file.suffix == '.pth' else ''
