"""Vim's released checkpoint format (hustvl/Vim), both ways."""

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.patch_embed import resize_positions
from transmamba_mm.models.backbones.vim import Vim

PARTS = {
    'patch_embed.proj.weight': 'backbone.patch_embed.proj.weight',
    'patch_embed.proj.bias': 'backbone.patch_embed.proj.bias',
    'pos_embed': 'backbone.pos_embed',
    'cls_token': 'backbone.cls_token',
    'norm_f.weight': 'backbone.norm.weight',
    'norm_f.bias': 'backbone.norm.bias',
    'head.weight': 'head.fc.weight',
    'head.bias': 'head.fc.bias',
}
LAYER_PARTS = {
    'norm': 'norm',
    'mixer.in_proj': 'mixer.in_proj',
    'mixer.out_proj': 'mixer.out_proj',
    **{
        f'mixer.{part}{suffix}': f'mixer.{direction}.{ours}'
        for direction, suffix in (('fwd', ''), ('bwd', '_b'))
        for part, ours in (('conv1d', 'conv'), ('x_proj', 'x_proj'), ('dt_proj', 'dt_proj'))
    },
    'mixer.A_log': 'mixer.fwd.A_log',
    'mixer.A_b_log': 'mixer.bwd.A_log',
    'mixer.D': 'mixer.fwd.D',
    'mixer.D_b': 'mixer.bwd.D',
}
# The two cls tokens of the 'both' variant, which are one parameter of ours.
CLS_PAIR = ('cls_token_head', 'cls_token_tail')
CLS_TOKEN, POS_EMBED = PARTS['cls_token'], PARTS['pos_embed']


def from_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our spelling of an official state dict; UserError names the keys it does not know."""
    ours = {key: value for key, value in state_dict.items() if key not in CLS_PAIR}
    ours = _rename(ours, PARTS, LAYER_PARTS, ('layers', 'backbone.blocks'), 'official Vim')
    if CLS_PAIR[0] in state_dict:
        ours[CLS_TOKEN] = torch.cat([state_dict[key] for key in CLS_PAIR], dim=1)
    return ours


def to_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official spelling of our state dict; UserError names the keys it does not know."""
    parts = {ours: official for official, ours in PARTS.items()}
    layer_parts = {ours: official for official, ours in LAYER_PARTS.items()}
    official = _rename(state_dict, parts, layer_parts, ('backbone.blocks', 'layers'), "our Vim's")
    cls = official.get('cls_token')
    if cls is not None and cls.shape[1] == 2:
        del official['cls_token']
        official.update(zip(CLS_PAIR, cls.split(1, dim=1), strict=True))
    return official


def _rename(
    state_dict: Mapping[str, Tensor],
    parts: Mapping[str, str],
    layer_parts: Mapping[str, str],
    prefixes: tuple[str, str],
    spelling: str,
) -> dict[str, Tensor]:
    source, target = prefixes
    layer_key = re.compile(rf'{re.escape(source)}\.(\d+)\.(.+?)(\.weight|\.bias)?')
    renamed, unknown = {}, []
    for key, value in state_dict.items():
        match = layer_key.fullmatch(key)
        if key in parts:
            renamed[parts[key]] = value
        elif match and match[2] in layer_parts:
            renamed[f'{target}.{match[1]}.{layer_parts[match[2]]}{match[3] or ""}'] = value
        else:
            unknown.append(key)
    if unknown:
        raise UserError(
            f'{len(unknown)} keys are not {spelling} keys: {", ".join(unknown[:8])}'
            f'{" ..." if len(unknown) > 8 else ""}. Is this a checkpoint of that model? (Rotary '
            'positions and one-directional blocks of the official code are not supported.)'
        )
    return renamed


def model_config(
    state_dict: Mapping[str, Tensor], img_size: int | tuple[int, int], **overrides
) -> dict:
    """Config of the ``ImageClassifier`` for a state dict in our spelling.

    Raises:
        UserError: A tensor without which the architecture cannot be told is missing.
    """
    block = 'backbone.blocks.0.mixer.'
    required = ['in_proj.weight', 'fwd.A_log', 'bwd.A_log', 'fwd.dt_proj.weight', 'fwd.conv.weight']
    patch = PARTS['patch_embed.proj.weight']
    missing = [
        key for key in [patch, *(block + name for name in required)] if key not in state_dict
    ]
    if missing:
        raise UserError(f'This is no Vim checkpoint: it lacks {", ".join(missing)}.')
    embed_dims, in_channels, patch_size, _ = state_dict[patch].shape
    inner_dims, state_dims = state_dict[block + 'fwd.A_log'].shape
    layers = {int(key.split('.')[2]) for key in state_dict if key.startswith('backbone.blocks.')}
    cls = state_dict.get(CLS_TOKEN)
    backbone = {
        'type': 'transmamba_mm.Vim',
        'arch': {
            'embed_dims': embed_dims,
            'num_layers': max(layers) + 1,
            'state_dims': state_dims,
        },
        'img_size': img_size,
        'patch_size': patch_size,
        'in_channels': in_channels,
        'expand': inner_dims // embed_dims,
        'dt_rank': state_dict[block + 'fwd.dt_proj.weight'].shape[1],
        'conv_width': state_dict[block + 'fwd.conv.weight'].shape[-1],
        'norm': 'layer' if PARTS['norm_f.bias'] in state_dict else 'rms',
        'shared_projections': block + 'bwd.conv.weight' not in state_dict,
        'cls_position': 'none' if cls is None else 'both' if cls.shape[1] == 2 else 'middle',
        **_translate(overrides),
    }
    head = None
    if PARTS['head.weight'] in state_dict:
        num_classes, width = state_dict[PARTS['head.weight']].shape
        head = {'type': 'LinearClsHead', 'num_classes': num_classes, 'in_channels': width}
    return {'type': 'mmpretrain.ImageClassifier', 'backbone': backbone, 'head': head}


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

    The source grid is taken to be square. The cls entry is looked for at its true place, the middle
    of the sequence for the released models; the official ``interpolate_pos_embed`` takes entry 0,
    so resized official results differ from these.
    """
    target = backbone.patch_grid(backbone.img_size)
    target_cls = backbone.cls_index(target[0] * target[1])
    positions = state_dict.get(POS_EMBED)
    if positions is None:  # trained without absolute positions: zeros add nothing
        return {**state_dict, POS_EMBED: torch.zeros_like(backbone.pos_embed)}
    num_patches = positions.shape[1] - len(target_cls)
    if num_patches == target[0] * target[1]:
        return dict(state_dict)
    side = math.isqrt(num_patches)
    if side * side != num_patches:
        raise UserError(
            f'pos_embed has {num_patches} patch entries, neither a square grid nor the '
            f'{target[0]}x{target[1]} of img_size={backbone.img_size}: give the img_size and '
            'patch_stride the checkpoint was trained with.'
        )
    resized = resize_positions(
        positions, (side, side), target, backbone.cls_index(num_patches), target_cls
    )
    return {**state_dict, POS_EMBED: resized}
