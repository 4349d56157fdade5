"""Where a training begins."""

from pathlib import Path
from urllib.parse import urlparse

from mmengine.config import Config
from torch import nn

from transmamba_mm.apis.student import student_weights
from transmamba_mm.checkpoint import load_state_dict, locate
from transmamba_mm.errors import UserError
from transmamba_mm.openai_clip import explain_clip, is_openai_clip


def check_load_from(cfg: Config, model: nn.Module) -> None:
    """Make sure that ``load_from`` is of the model: mmengine would only log that nothing fits.

    A part may be missing, such as a head for other classes. A training that goes on (``resume``) is
    left to mmengine, which finds out by the optimizer's state.

    Args:
        cfg (Config): Of the training.
        model (nn.Module): To be trained.

    Raises:
        UserError: No tensor has the name and shape of one of the model's; not the .pth file that
            mmengine reads.
    """
    source = cfg.get('load_from')
    if not source or cfg.get('resume'):
        return
    file = locate(source)
    weights, own = (student_weights(state) for state in (load_state_dict(file), model.state_dict()))
    fits = any(key in own and own[key].shape == value.shape for key, value in weights.items())
    if not fits and is_openai_clip(weights):
        raise UserError(f'load_from: {explain_clip(source)}')
    if urlparse(source).scheme == '' and not source.endswith('.pth'):
        raise UserError(f'load_from={source} has to be a .pth file{_example(file)}.')
    if not fits:
        raise UserError(
            f'load_from={source} holds nothing of the {type(model).__name__}: its first tensor is '
            f'{_first(weights)}, the first of the model {_first(own)}. Name a checkpoint of this '
            'model, or leave load_from away.'
        )


def _example(file: Path) -> str:
    return f', such as {file}' if file.suffix == '.pth' else ''


def _first(weights: dict) -> str:
    key, value = next(iter(weights.items()))
    return f'{key} {tuple(value.shape)}'
