"""The common part of Vim's and VideoMamba's released formats: names, shapes, positions."""

from collections.abc import Mapping

from torch import Tensor

from transmamba_mm.convert.shapes import numbers, require

BLOCKS = 'backbone.blocks'
#: All but the cls tokens, which VideoMamba always and Vim may have.
NAMES = {
    'patch_embed.proj': 'backbone.patch_embed.proj',
    'pos_embed': 'backbone.pos_embed',
    'layers.#.norm': f'{BLOCKS}.#.norm',
    'layers.#.mixer.in_proj': f'{BLOCKS}.#.mixer.in_proj',
    'layers.#.mixer.out_proj': f'{BLOCKS}.#.mixer.out_proj',
    **{
        f'layers.#.mixer.{part}{suffix}': f'{BLOCKS}.#.mixer.{direction}.{ours}'
        for direction, suffix in (('fwd', ''), ('bwd', '_b'))
        for part, ours in (('conv1d', 'conv'), ('x_proj', 'x_proj'), ('dt_proj', 'dt_proj'))
    },
    'layers.#.mixer.A_log': f'{BLOCKS}.#.mixer.fwd.A_log',
    'layers.#.mixer.A_b_log': f'{BLOCKS}.#.mixer.bwd.A_log',
    'layers.#.mixer.D': f'{BLOCKS}.#.mixer.fwd.D',
    'layers.#.mixer.D_b': f'{BLOCKS}.#.mixer.bwd.D',
    'norm_f': 'backbone.norm',
    'head': 'head.fc',
}
PATCH_KERNEL = 'backbone.patch_embed.proj.weight'
POS_EMBED, CLS_TOKEN = 'backbone.pos_embed', 'backbone.cls_token'
FIRST_MIXER = f'{BLOCKS}.0.mixer.'


def read_backbone(state_dict: Mapping[str, Tensor], model: str) -> dict:
    """Infer arguments of the backbone from keys and shapes of a state dict in our names.

    Raises:
        UserError: A tensor that determines the architecture is missing.
    """
    required = ['in_proj.weight', 'fwd.A_log', 'bwd.A_log', 'fwd.dt_proj.weight', 'fwd.conv.weight']
    keys = [PATCH_KERNEL, *(FIRST_MIXER + name for name in required)]
    require(state_dict, keys, f'{model} checkpoint')
    embed_dims, in_channels, *_, patch_size = state_dict[PATCH_KERNEL].shape
    inner_dims, state_dims = state_dict[FIRST_MIXER + 'fwd.A_log'].shape
    return {
        'type': f'transmamba_mm.{model}',
        'arch': {
            'embed_dims': embed_dims,
            'num_layers': max(numbers(state_dict, f'{BLOCKS}.#.')) + 1,
            'state_dims': state_dims,
        },
        'patch_size': patch_size,
        'in_channels': in_channels,
        'expand': inner_dims // embed_dims,
        'dt_rank': state_dict[FIRST_MIXER + 'fwd.dt_proj.weight'].shape[1],
        'conv_width': state_dict[FIRST_MIXER + 'fwd.conv.weight'].shape[-1],
        'norm': 'layer' if 'backbone.norm.bias' in state_dict else 'rms',
    }
