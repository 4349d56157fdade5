"""VMamba's released checkpoint format (MzeroMiko/VMamba), both ways."""

import math
import re
from collections.abc import Mapping

from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.vmamba import VMamba

# Modules and bare parameters; # stands for the number of a stage or block, here in that order.
COMMON_PARTS = {
    'layers.#.blocks.#.norm': 'backbone.stages.#.blocks.#.norm1',
    'layers.#.blocks.#.norm2': 'backbone.stages.#.blocks.#.norm2',
    **{
        f'layers.#.blocks.#.mlp.{layer}': f'backbone.stages.#.blocks.#.mlp.{layer}'
        for layer in ('fc1', 'fc2')
    },
    **{
        f'layers.#.blocks.#.op.{official}': f'backbone.stages.#.blocks.#.ss2d.{ours}'
        for official, ours in {
            'in_proj': 'in_proj',
            'conv2d': 'conv',
            'out_norm': 'norm',
            'out_proj': 'out_proj',
            'x_proj_weight': 'x_proj',
            'dt_projs_weight': 'dt_proj',
            'dt_projs_bias': 'dt_bias',
            'A_logs': 'A_log',
            'Ds': 'D',
        }.items()
    },
    'classifier.norm': 'backbone.norm',
    'classifier.head': 'head.fc',
}
PATCH_PARTS = {
    'patches': {
        'patch_embed.0': 'backbone.patch_embed.proj',
        'patch_embed.2': 'backbone.patch_embed.norm',
    },
    'conv_stem': {
        'patch_embed.0': 'backbone.patch_embed.conv1',
        'patch_embed.2': 'backbone.patch_embed.norm1',
        'patch_embed.5': 'backbone.patch_embed.conv2',
        'patch_embed.7': 'backbone.patch_embed.norm2',
    },
}
DOWNSAMPLE = 'backbone.stages.#.downsample'
DOWNSAMPLE_PARTS = {
    'merging': {
        'layers.#.downsample.norm': f'{DOWNSAMPLE}.norm',
        'layers.#.downsample.reduction': f'{DOWNSAMPLE}.reduction',
    },
    'conv': {
        'layers.#.downsample.1': f'{DOWNSAMPLE}.conv',
        'layers.#.downsample.3': f'{DOWNSAMPLE}.norm',
    },
}
# How the official code itself renames older checkpoints when it loads them.
LEGACY = {
    r'patch_embed\.proj\.': 'patch_embed.0.',
    r'patch_embed\.norm\.': 'patch_embed.2.',
    r'(layers\.\d+\.blocks\.\d+)\.ln_1\.': r'\1.norm.',
    r'(layers\.\d+\.blocks\.\d+)\.self_attention\.': r'\1.op.',
    r'norm\.': 'classifier.norm.',
    r'head\.': 'classifier.head.',
}
NUMBER = re.compile(r'(?<=layers\.|stages\.|blocks\.)\d+')
LINEAR = ('in_proj.weight', 'out_proj.weight', 'fc1.weight', 'fc2.weight', 'reduction.weight')
NUM_DIRECTIONS = 4
OFFICIAL_ARGUMENTS = {
    'dims': 'embed_dims',
    'in_chans': 'in_channels',
    'ssm_d_state': 'state_dims',
    'ssm_dt_rank': 'dt_rank',
    'ssm_conv': 'conv_width',
    'ssm_conv_bias': 'conv_bias',
    'patchembed_version': 'patch_embed',
    'downsample_version': 'downsample',
}
# Names of one scan: they differ in kernels and layouts, not in numbers.
SAME_SCAN = ('v0', 'v01', 'v02', 'v03', 'v04', 'v05', 'v3')
PATCH_EMBEDS = {'v1': 'patches', 'v2': 'conv_stem'}
DOWNSAMPLES = {'v1': 'merging', 'v2': 'conv2', 'v3': 'conv3'}


def from_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our spelling of an official state dict; UserError names the keys it does not know.

    Names of older checkpoints are understood, and so are the 1x1 convolutions that some hold
    instead of linear layers.
    """
    official = {_modern(key): value for key, value in state_dict.items()}
    patch = 'conv_stem' if 'patch_embed.5.weight' in official else 'patches'
    merging = any(key.endswith('downsample.reduction.weight') for key in official)
    parts = _parts(patch, 'merging' if merging else 'conv')
    ours = {}
    for key, value in _rename(official, parts, 'official VMamba').items():
        if key.endswith(LINEAR) and value.dim() == 4:
            value = value.flatten(1)  # (O, I, 1, 1) of a 1x1 convolution
        elif key.endswith(('ss2d.A_log', 'ss2d.D')):
            value = value.unflatten(0, (NUM_DIRECTIONS, -1))  # (K * E, ...) -> (K, E, ...)
        ours[key] = value
    return ours


def to_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official spelling of our state dict; UserError names the keys it does not know."""
    patch = 'conv_stem' if 'backbone.patch_embed.conv1.weight' in state_dict else 'patches'
    merging = any(key.endswith('downsample.reduction.weight') for key in state_dict)
    parts = _parts(patch, 'merging' if merging else 'conv')
    official = _rename(
        state_dict, {ours: official for official, ours in parts.items()}, "our VMamba's"
    )
    return {
        key: value.flatten(0, 1) if key.endswith(('op.A_logs', 'op.Ds')) else value
        for key, value in official.items()
    }


def _modern(key: str) -> str:
    for old, new in LEGACY.items():
        if re.match(old, key):
            return re.sub(old, new, key, count=1)
    return key


def _parts(patch_embed: str, downsample: str) -> dict[str, str]:
    return {**COMMON_PARTS, **PATCH_PARTS[patch_embed], **DOWNSAMPLE_PARTS[downsample]}


def _rename(
    state_dict: Mapping[str, Tensor], parts: Mapping[str, str], spelling: str
) -> dict[str, Tensor]:
    renamed, unknown = {}, []
    for key, value in state_dict.items():
        pattern = NUMBER.sub('#', key)
        part = pattern.removesuffix('.weight').removesuffix('.bias')
        if part in parts:
            target = parts[part] + pattern.removeprefix(part)
            for number in NUMBER.findall(key):
                target = target.replace('#', number, 1)
            renamed[target] = value
        else:
            unknown.append(key)
    if unknown:
        raise UserError(
            f'{len(unknown)} keys are not {spelling} keys: {", ".join(unknown[:8])}'
            f'{" ..." if len(unknown) > 8 else ""}. Is this a checkpoint of that model? (Position '
            'embeddings and the norms of the official ablations are not supported.)'
        )
    return renamed


def model_config(
    state_dict: Mapping[str, Tensor], img_size: int | tuple[int, int], **overrides
) -> dict:
    """Config of the ``ImageClassifier`` for a state dict in our spelling.

    Everything is read from keys and shapes. The model takes images of any size, so ``img_size``
    changes nothing.

    Raises:
        UserError: A tensor without which the architecture cannot be told is missing, or an official
            ``forward_type`` whose scan is another one.
    """
    stage, patch = 'backbone.stages.0.', 'backbone.patch_embed.'
    stem = f'{patch}conv1.weight' in state_dict
    kernel = f'{patch}conv1.weight' if stem else f'{patch}proj.weight'
    block = f'{stage}blocks.0.'
    required = [f'{block}norm1.weight', f'{block}ss2d.in_proj.weight', f'{block}ss2d.conv.weight']
    required += [kernel, f'{block}ss2d.A_log', f'{block}ss2d.dt_proj']
    missing = [key for key in required if key not in state_dict]
    if missing:
        raise UserError(f'This is no VMamba checkpoint: it lacks {", ".join(missing)}.')

    depths = _depths(state_dict)
    blocks = [f'backbone.stages.{i}.blocks.0.' for i in range(len(depths))]
    dims = [len(state_dict[f'{name}norm1.weight']) for name in blocks]
    ranks = [state_dict[f'{name}ss2d.dt_proj'].shape[-1] for name in blocks]
    _, inner_dims, state_dims = state_dict[f'{block}ss2d.A_log'].shape
    mlp = state_dict.get(f'{block}mlp.fc1.weight')
    arch = {
        'embed_dims': tuple(dims),
        'depths': depths,
        'state_dims': state_dims,
        'ssm_ratio': inner_dims / dims[0],
        'gate': len(state_dict[f'{block}ss2d.in_proj.weight']) == 2 * inner_dims,
        'conv_bias': f'{block}ss2d.conv.bias' in state_dict,
        'mlp_ratio': 0.0 if mlp is None else len(mlp) / dims[0],
        'patch_embed': 'conv_stem' if stem else 'patches',
        'downsample': _downsample(state_dict, f'{stage}downsample.'),
    }
    _, in_channels, kernel_size, _ = state_dict[kernel].shape
    overrides = _translate(overrides)
    arch.update({key: overrides.pop(key) for key in arch.keys() & overrides.keys()})
    backbone = {
        'type': 'transmamba_mm.VMamba',
        'arch': arch,
        'patch_size': 2 * (kernel_size - 1) if stem else kernel_size,
        'in_channels': in_channels,
        'dt_rank': None if ranks == [math.ceil(width / 16) for width in dims] else ranks[0],
        'conv_width': state_dict[f'{block}ss2d.conv.weight'].shape[-1],
        **overrides,
    }
    head = None
    if 'head.fc.weight' in state_dict:
        num_classes, width = state_dict['head.fc.weight'].shape
        head = {'type': 'LinearClsHead', 'num_classes': num_classes, 'in_channels': width}
    return {'type': 'mmpretrain.ImageClassifier', 'backbone': backbone, 'head': head}


def _depths(state_dict: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Blocks of each stage; a gap in the numbers shows as keys that do not fit."""
    blocks = {
        tuple(map(int, NUMBER.findall(key)))
        for key in state_dict
        if key.startswith('backbone.stages.') and '.blocks.' in key
    }
    stages = max(stage for stage, _ in blocks) + 1
    return tuple(
        max((block for of, block in blocks if of == stage), default=-1) + 1
        for stage in range(stages)
    )


def _downsample(state_dict: Mapping[str, Tensor], prefix: str) -> str:
    if f'{prefix}reduction.weight' in state_dict:
        return 'merging'
    conv = state_dict.get(f'{prefix}conv.weight')
    return 'conv2' if conv is not None and conv.shape[-1] == 2 else 'conv3'


def _translate(overrides: Mapping) -> dict:
    """Overrides by their official names to ours."""
    ours = {OFFICIAL_ARGUMENTS.get(name, name): value for name, value in overrides.items()}
    if ours.get('dt_rank') == 'auto':
        ours['dt_rank'] = None
    for name, values in (('patch_embed', PATCH_EMBEDS), ('downsample', DOWNSAMPLES)):
        if ours.get(name) in values:
            ours[name] = values[ours[name]]
    if 'forward_type' in ours:
        forward_type = ours.pop('forward_type')
        variant, *tags = forward_type.split('_')
        if variant not in SAME_SCAN or not set(tags) <= {'noz', 'no32'}:
            raise UserError(
                f'forward_type={forward_type!r} of the official code is not supported; choose one '
                f'of {", ".join(SAME_SCAN)}, with or without _noz.'
            )
        ours['gate'] = 'noz' not in tags
    return ours


def fit_positions(state_dict: Mapping[str, Tensor], backbone: VMamba) -> dict[str, Tensor]:
    """Nothing to fit: the convolutions tell VMamba where a token is."""
    return dict(state_dict)
