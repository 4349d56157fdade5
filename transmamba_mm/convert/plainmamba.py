"""PlainMamba's released checkpoint format (ChenhongyiYang/PlainMamba), both ways."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from transmamba_mm.convert.bidirectional import classifier_config
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.plainmamba import PlainMamba

# Parameters by themselves, and modules, whose tensors keep their names.
PARTS = {
    'backbone.pos_embed': 'backbone.pos_embed',
    'backbone.patch_embed.stem.0': 'backbone.patch_embed.stem.conv',
    'backbone.patch_embed.stem.1': 'backbone.patch_embed.stem.bn',
    'backbone.patch_embed.projection': 'backbone.patch_embed.proj',
    'backbone.ln1': 'backbone.norm',
    'head.fc': 'head.fc',
}
LAYER_PARTS = {
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
}
TENSORS = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
BLOCKS, PATCH = 'backbone.blocks', 'backbone.patch_embed'
POS_EMBED, STEM_KERNEL = 'backbone.pos_embed', f'{PATCH}.stem.conv.weight'
OFFICIAL_ARGUMENTS = {
    'layers_with_dwconv': 'dwconv_layers',
    'num_convs_patch_embed': 'stem_convs',
    'd_state': 'state_dims',
    'conv_size': 'conv_width',
}


def from_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our spelling of an official state dict; UserError names the keys it does not know."""
    return _rename(state_dict, _parts(state_dict), 'official PlainMamba')


def to_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official spelling of our state dict; UserError names the keys it does not know."""
    parts = {ours: official for official, ours in _parts(state_dict).items()}
    return _rename(state_dict, parts, "our PlainMamba's")


def _parts(state_dict: Mapping[str, Tensor]) -> dict[str, str]:
    """Our name of every official part that a model with the numbers in these keys can have."""
    numbers = [int(number) for key in state_dict for number in re.findall(r'\d+', key)]
    parts = dict(PARTS)
    for i in range(max(numbers, default=-1) + 1):
        # An official stem is one sequence of convolution, norm and activation in turn.
        parts[f'{PATCH}.convs.{3 * i}'] = f'{PATCH}.convs.{i}.conv'
        parts[f'{PATCH}.convs.{3 * i + 1}'] = f'{PATCH}.convs.{i}.bn'
        for official, ours in LAYER_PARTS.items():
            parts[f'backbone.layers.{i}.{official}'] = f'{BLOCKS}.{i}.{ours}'
    return parts


def _rename(
    state_dict: Mapping[str, Tensor], parts: Mapping[str, str], spelling: str
) -> dict[str, Tensor]:
    renamed, unknown = {}, []
    for key, value in state_dict.items():
        module, _, tensor = key.rpartition('.')
        if key in parts:
            renamed[parts[key]] = value
        elif module in parts and tensor in TENSORS:
            renamed[f'{parts[module]}.{tensor}'] = value
        else:
            unknown.append(key)
    if unknown:
        raise UserError(
            f'{len(unknown)} keys are not {spelling} keys: {", ".join(unknown[:8])}'
            f'{" ..." if len(unknown) > 8 else ""}. Is this a checkpoint of that model? (Layer '
            'scale and the norms of intermediate outputs, which detectors add, are not supported.)'
        )
    return renamed


def model_config(
    state_dict: Mapping[str, Tensor], img_size: int | tuple[int, int], **overrides
) -> dict:
    """Config of the ``ImageClassifier`` for a state dict in our spelling.

    Both quirks of the official code stay on: no weight tells, and the released ones need them.

    Raises:
        UserError: A tensor without which the architecture cannot be told is missing.
    """
    mixer = f'{BLOCKS}.0.mixer.'
    required = ['in_proj.weight', 'conv.weight', 'dt_proj.weight', 'A_log']
    required = [f'{PATCH}.proj.weight', STEM_KERNEL, *(mixer + name for name in required)]
    missing = [key for key in required if key not in state_dict]
    if missing:
        raise UserError(f'This is no PlainMamba checkpoint: it lacks {", ".join(missing)}.')
    embed_dims, stem_dims, half_patch, _ = state_dict[f'{PATCH}.proj.weight'].shape
    inner_dims, state_dims = state_dict[mixer + 'A_log'].shape
    layers = _numbers(rf'{BLOCKS}\.(\d+)\.', state_dict)
    arch = {
        'embed_dims': embed_dims,
        'num_layers': max(layers) + 1,
        'state_dims': state_dims,
        'stem_dims': stem_dims,
        'stem_convs': max(_numbers(rf'{PATCH}\.convs\.(\d+)\.', state_dict), default=-1) + 1,
        'dwconv_layers': tuple(sorted(_numbers(rf'{BLOCKS}\.(\d+)\.dw\.', state_dict))),
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


def _numbers(pattern: str, state_dict: Mapping[str, Tensor]) -> set[int]:
    return {int(match[1]) for match in map(re.compile(pattern).match, state_dict) if match}


def fit_positions(state_dict: Mapping[str, Tensor], backbone: PlainMamba) -> dict[str, Tensor]:
    """Resize the positions of a state dict to the grid that ``backbone`` is built for."""
    # Trained without positions: zeros add nothing.
    fitted = {POS_EMBED: torch.zeros_like(backbone.pos_embed), **state_dict}
    backbone.fit_positions(fitted, 'backbone.')
    return fitted
