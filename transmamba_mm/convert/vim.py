"""Vim's released checkpoint format (hustvl/Vim), both ways."""

from collections.abc import Mapping

import torch
from torch import Tensor

from transmamba_mm.convert.bidirectional import (
    CLS_TOKEN,
    FIRST_MIXER,
    NAMES,
    POS_EMBED,
    read_backbone,
)
from transmamba_mm.convert.shapes import classifier_config
from transmamba_mm.key_map import KeyMap, Stack
from transmamba_mm.models.backbones.vim import Vim

#: The two cls tokens of the 'both' variant are one parameter of ours.
CLS_PAIR = Stack(('cls_token_head', 'cls_token_tail'), dim=1)
ONE_CLS = KeyMap({**NAMES, 'cls_token': CLS_TOKEN})
TWO_CLS = KeyMap({**NAMES, CLS_PAIR: CLS_TOKEN})
HINT = 'Rotary positions and one-directional blocks of the official code are not supported.'


def from_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our names for an official state dict; UserError names the keys without one."""
    names = TWO_CLS if CLS_PAIR.names[0] in state_dict else ONE_CLS
    return names.rename_all(state_dict, 'official Vim', HINT)


def to_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official names for our state dict; UserError names the keys without one."""
    names = TWO_CLS if _cls_position(state_dict) == 'both' else ONE_CLS
    return names.inverse().rename_all(state_dict, "our Vim's", HINT)


def _cls_position(state_dict: Mapping[str, Tensor]) -> str:
    """Positions of the cls tokens in the released models."""
    if CLS_TOKEN not in state_dict:
        return 'none'
    return 'both' if state_dict[CLS_TOKEN].shape[1] == 2 else 'middle'


def model_config(
    state_dict: Mapping[str, Tensor], img_size: int | tuple[int, int], **overrides
) -> dict:
    """Config of the ``ImageClassifier`` for a state dict in our names.

    Raises:
        UserError: A tensor that determines the architecture is missing.
    """
    backbone = read_backbone(state_dict, 'Vim')
    backbone |= {
        'img_size': img_size,
        'shared_projections': FIRST_MIXER + 'bwd.conv.weight' not in state_dict,
        'cls_position': _cls_position(state_dict),
        **_translate(overrides),
    }
    return classifier_config(state_dict, backbone)


def _translate(overrides: Mapping) -> dict:
    """Overrides by their official names (both spellings of dividing) to ours."""
    ours = dict(overrides)
    for name in ('if_divide_out', 'if_devide_out'):
        if name in ours:
            ours['average_directions'] = ours.pop(name)
    if 'stride' in ours:
        ours['patch_stride'] = ours.pop('stride')
    if 'use_middle_cls_token' in ours:
        ours['cls_position'] = 'middle' if ours.pop('use_middle_cls_token') else 'first'
    return ours


def fit_positions(state_dict: Mapping[str, Tensor], backbone: Vim) -> dict[str, Tensor]:
    """Resize the positions of a state dict to the grid that ``backbone`` is built for.

    The cls entry is taken from its true position, the middle of the sequence for the released
    models; the official ``interpolate_pos_embed`` takes entry 0, so resized official results differ
    from these.
    """
    # Trained without absolute positions: zeros add nothing.
    fitted = {POS_EMBED: torch.zeros_like(backbone.pos_embed), **state_dict}
    backbone.fit_positions(fitted, 'backbone.')
    return fitted
