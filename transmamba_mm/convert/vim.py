"""Vim's released checkpoint format (hustvl/Vim), both ways."""

from collections.abc import Mapping

import torch
from torch import Tensor

from transmamba_mm.convert.bidirectional import (
    FIRST_MIXER,
    PARTS,
    POS_EMBED,
    classifier_config,
    from_official_keys,
    read_backbone,
    to_official_names,
)
from transmamba_mm.models.backbones.vim import Vim

# The two cls tokens of the 'both' variant, which are one parameter of ours.
CLS_PAIR = ('cls_token_head', 'cls_token_tail')
CLS_TOKEN = PARTS['cls_token']
HINT = 'Rotary positions and one-directional blocks of the official code are not supported.'


def from_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our spelling of an official state dict; UserError names the keys it does not know."""
    ours = {key: value for key, value in state_dict.items() if key not in CLS_PAIR}
    ours = from_official_keys(ours, PARTS, 'Vim', HINT)
    if CLS_PAIR[0] in state_dict:
        ours[CLS_TOKEN] = torch.cat([state_dict[key] for key in CLS_PAIR], dim=1)
    return ours


def to_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official spelling of our state dict; UserError names the keys it does not know."""
    official = to_official_names(state_dict, PARTS, 'Vim', HINT)
    cls = official.get('cls_token')
    if cls is not None and cls.shape[1] == 2:
        del official['cls_token']
        official.update(zip(CLS_PAIR, cls.split(1, dim=1), strict=True))
    return official


def model_config(
    state_dict: Mapping[str, Tensor], img_size: int | tuple[int, int], **overrides
) -> dict:
    """Config of the ``ImageClassifier`` for a state dict in our spelling.

    Raises:
        UserError: A tensor without which the architecture cannot be told is missing.
    """
    backbone = read_backbone(state_dict, 'Vim')
    cls = state_dict.get(CLS_TOKEN)
    backbone |= {
        'img_size': img_size,
        'shared_projections': FIRST_MIXER + 'bwd.conv.weight' not in state_dict,
        'cls_position': 'none' if cls is None else 'both' if cls.shape[1] == 2 else 'middle',
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

    The cls entry is looked for at its true place, the middle of the sequence for the released
    models; the official ``interpolate_pos_embed`` takes entry 0, so resized official results differ
    from these.
    """
    # Trained without absolute positions: zeros add nothing.
    fitted = {POS_EMBED: torch.zeros_like(backbone.pos_embed), **state_dict}
    backbone.fit_positions(fitted, 'backbone.')
    return fitted
