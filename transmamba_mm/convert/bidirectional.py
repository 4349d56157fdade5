"""What the released formats of Vim and VideoMamba have in common: names, shapes, positions."""

import re
from collections.abc import Mapping

from torch import Tensor

from transmamba_mm.errors import UserError

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
LAYERS, BLOCKS = 'layers', 'backbone.blocks'
PATCH_KERNEL, POS_EMBED = PARTS['patch_embed.proj.weight'], PARTS['pos_embed']
FIRST_MIXER = f'{BLOCKS}.0.mixer.'


def from_official_keys(
    state_dict: Mapping[str, Tensor], parts: Mapping[str, str], model: str, hint: str
) -> dict[str, Tensor]:
    """Spell an official state dict with our keys.

    Args:
        state_dict (Mapping): The official one.
        parts (Mapping): Our key of each official one outside the layers.
        model (str): Name of the model, for the error.
        hint (str): What the error says of variants that are not supported.

    Raises:
        UserError: Keys that are neither in ``parts`` nor in :data:`LAYER_PARTS`, by name.
    """
    return _rename(state_dict, parts, LAYER_PARTS, (LAYERS, BLOCKS), f'official {model}', hint)


def to_official_names(
    state_dict: Mapping[str, Tensor], parts: Mapping[str, str], model: str, hint: str
) -> dict[str, Tensor]:
    """Spell our state dict with the official keys; see :func:`from_official_keys`."""
    parts, layer_parts = (
        {ours: official for official, ours in names.items()} for names in (parts, LAYER_PARTS)
    )
    return _rename(state_dict, parts, layer_parts, (BLOCKS, LAYERS), f"our {model}'s", hint)


def _rename(
    state_dict: Mapping[str, Tensor],
    parts: Mapping[str, str],
    layer_parts: Mapping[str, str],
    prefixes: tuple[str, str],
    spelling: str,
    hint: str,
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
            f'{" ..." if len(unknown) > 8 else ""}. Is this a checkpoint of that model? ({hint})'
        )
    return renamed


def read_backbone(state_dict: Mapping[str, Tensor], model: str) -> dict:
    """Arguments of the backbone that keys and shapes of a state dict in our spelling tell.

    Raises:
        UserError: A tensor without which the architecture cannot be told is missing.
    """
    required = ['in_proj.weight', 'fwd.A_log', 'bwd.A_log', 'fwd.dt_proj.weight', 'fwd.conv.weight']
    missing = [
        key
        for key in [PATCH_KERNEL, *(FIRST_MIXER + name for name in required)]
        if key not in state_dict
    ]
    if missing:
        raise UserError(f'This is no {model} checkpoint: it lacks {", ".join(missing)}.')
    embed_dims, in_channels, *_, patch_size = state_dict[PATCH_KERNEL].shape
    inner_dims, state_dims = state_dict[FIRST_MIXER + 'fwd.A_log'].shape
    layers = {int(key.split('.')[2]) for key in state_dict if key.startswith(f'{BLOCKS}.')}
    return {
        'type': f'transmamba_mm.{model}',
        'arch': {
            'embed_dims': embed_dims,
            'num_layers': max(layers) + 1,
            'state_dims': state_dims,
        },
        'patch_size': patch_size,
        'in_channels': in_channels,
        'expand': inner_dims // embed_dims,
        'dt_rank': state_dict[FIRST_MIXER + 'fwd.dt_proj.weight'].shape[1],
        'conv_width': state_dict[FIRST_MIXER + 'fwd.conv.weight'].shape[-1],
        'norm': 'layer' if PARTS['norm_f.bias'] in state_dict else 'rms',
    }


def classifier_config(state_dict: Mapping[str, Tensor], backbone: dict) -> dict:
    """Config of the ``ImageClassifier`` around ``backbone``, with a head if there are weights."""
    head = None
    if PARTS['head.weight'] in state_dict:
        num_classes, width = state_dict[PARTS['head.weight']].shape
        head = {'type': 'LinearClsHead', 'num_classes': num_classes, 'in_channels': width}
    return {'type': 'mmpretrain.ImageClassifier', 'backbone': backbone, 'head': head}
