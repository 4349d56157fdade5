"""PlainMamba's released checkpoint format (ChenhongyiYang/PlainMamba), both ways."""

from collections.abc import Mapping

import torch
from torch import Tensor

from transmamba_mm.convert.shapes import classifier_config, numbers, require
from transmamba_mm.key_map import KeyMap
from transmamba_mm.models.backbones.plainmamba import PlainMamba

BLOCKS, PATCH = 'backbone.blocks', 'backbone.patch_embed'
POS_EMBED, STEM_KERNEL = 'backbone.pos_embed', f'{PATCH}.stem.conv.weight'
NAMES = KeyMap(
    {
        POS_EMBED: POS_EMBED,
        f'{PATCH}.stem.0': f'{PATCH}.stem.conv',
        f'{PATCH}.stem.1': f'{PATCH}.stem.bn',
        # An official stem is one sequence of convolution, norm and activation in turn.
        f'{PATCH}.convs.3#': f'{PATCH}.convs.#.conv',
        f'{PATCH}.convs.3#+1': f'{PATCH}.convs.#.bn',
        f'{PATCH}.projection': f'{PATCH}.proj',
        **{
            f'backbone.layers.#.{official}': f'{BLOCKS}.#.{ours}'
            for official, ours in {
                'norm': 'norm',
                'dw.0': 'dw.conv',
                'dw.1': 'dw.bn',
                'mamba.in_proj': 'mixer.in_proj',
                'mamba.conv2d': 'mixer.conv',
                'mamba.x_proj': 'mixer.x_proj',
                'mamba.dt_proj': 'mixer.dt_proj',
                'mamba.A_log': 'mixer.A_log',
                'mamba.D': 'mixer.D',
                'mamba.direction_Bs': 'mixer.direction_B',
                'mamba.out_proj': 'mixer.out_proj',
            }.items()
        },
        'backbone.ln1': 'backbone.norm',
        'head.fc': 'head.fc',
    }
)
HINT = 'Layer scale and the norms that detectors add are not supported.'
OFFICIAL_ARGUMENTS = {
    'layers_with_dwconv': 'dwconv_layers',
    'num_convs_patch_embed': 'stem_convs',
    'd_state': 'state_dims',
    'conv_size': 'conv_width',
}


def from_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our names for an official state dict; UserError names the keys without one."""
    return NAMES.rename_all(state_dict, 'official PlainMamba', HINT)


def to_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official names for our state dict; UserError names the keys without one."""
    return NAMES.inverse().rename_all(state_dict, "our PlainMamba's", HINT)


def model_config(
    state_dict: Mapping[str, Tensor], img_size: int | tuple[int, int], **overrides
) -> dict:
    """Config of the ``ImageClassifier`` for a state dict in our names.

    Both quirks of the official code stay on: no weight determines them, and the released ones need
    them.

    Raises:
        UserError: A tensor that determines the architecture is missing.
    """
    mixer = f'{BLOCKS}.0.mixer.'
    required = ['in_proj.weight', 'conv.weight', 'dt_proj.weight', 'A_log']
    required = [f'{PATCH}.proj.weight', STEM_KERNEL, *(mixer + name for name in required)]
    require(state_dict, required, 'PlainMamba checkpoint')
    embed_dims, stem_dims, half_patch, _ = state_dict[f'{PATCH}.proj.weight'].shape
    inner_dims, state_dims = state_dict[mixer + 'A_log'].shape
    arch = {
        'embed_dims': embed_dims,
        'num_layers': max(numbers(state_dict, f'{BLOCKS}.#.')) + 1,
        'state_dims': state_dims,
        'stem_dims': stem_dims,
        'stem_convs': max(numbers(state_dict, f'{PATCH}.convs.#.'), default=-1) + 1,
        'dwconv_layers': tuple(sorted(numbers(state_dict, f'{BLOCKS}.#.dw.'))),
    }
    overrides = {OFFICIAL_ARGUMENTS.get(name, name): value for name, value in overrides.items()}
    arch.update({key: overrides.pop(key) for key in arch.keys() & overrides.keys()})
    backbone = {
        'type': 'transmamba_mm.PlainMamba',
        'arch': arch,
        'img_size': img_size,
        'patch_size': 2 * half_patch,
        'in_channels': state_dict[STEM_KERNEL].shape[1],
        'expand': inner_dims // embed_dims,
        'dt_rank': state_dict[mixer + 'dt_proj.weight'].shape[1],
        'conv_width': state_dict[mixer + 'conv.weight'].shape[-1],
        'bias': mixer + 'in_proj.bias' in state_dict,
        'conv_bias': mixer + 'conv.bias' in state_dict,
        **overrides,
    }
    return classifier_config(state_dict, backbone)


def fit_positions(state_dict: Mapping[str, Tensor], backbone: PlainMamba) -> dict[str, Tensor]:
    """Resize the positions of a state dict to the grid that ``backbone`` is built for."""
    # Trained without positions: zeros add nothing.
    fitted = {POS_EMBED: torch.zeros_like(backbone.pos_embed), **state_dict}
    backbone.fit_positions(fitted, 'backbone.')
    return fitted
