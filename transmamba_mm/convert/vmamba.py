"""VMamba's released checkpoint format (MzeroMiko/VMamba), both ways."""

import math
from collections.abc import Mapping

from torch import Tensor

from transmamba_mm.convert.shapes import classifier_config, numbers, require
from transmamba_mm.errors import UserError
from transmamba_mm.key_map import KeyMap, Reshaped
from transmamba_mm.models.backbones.vmamba import VMamba

NUM_DIRECTIONS = 4
OLD, OURS = 'layers.#.blocks.#', 'backbone.stages.#.blocks.#'
OLD_DOWN, DOWN = 'layers.#.downsample', 'backbone.stages.#.downsample'
PATCH = 'backbone.patch_embed'


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _linear(name: str) -> Reshaped:
    """A linear layer, which some checkpoints hold as a 1x1 convolution (O, I, 1, 1)."""
    return Reshaped(name, lambda tensor: tensor.flatten(1) if tensor.dim() == 4 else tensor, _same)


def _directions(name: str) -> Reshaped:
    """Parameters (K, E, ...) that are (K * E, ...) officially."""
    return Reshaped(
        name,
        lambda tensor: tensor.unflatten(0, (NUM_DIRECTIONS, -1)),
        lambda tensor: tensor.flatten(0, 1),
    )


COMMON = {
    f'{OLD}.norm': f'{OURS}.norm1',
    f'{OLD}.norm2': f'{OURS}.norm2',
    f'{OLD}.mlp.fc1': _linear(f'{OURS}.mlp.fc1'),
    f'{OLD}.mlp.fc2': _linear(f'{OURS}.mlp.fc2'),
    f'{OLD}.op.in_proj': _linear(f'{OURS}.ss2d.in_proj'),
    f'{OLD}.op.conv2d': f'{OURS}.ss2d.conv',
    f'{OLD}.op.out_norm': f'{OURS}.ss2d.norm',
    f'{OLD}.op.out_proj': _linear(f'{OURS}.ss2d.out_proj'),
    f'{OLD}.op.x_proj_weight': f'{OURS}.ss2d.x_proj',
    f'{OLD}.op.dt_projs_weight': f'{OURS}.ss2d.dt_proj',
    f'{OLD}.op.dt_projs_bias': f'{OURS}.ss2d.dt_bias',
    f'{OLD}.op.A_logs': _directions(f'{OURS}.ss2d.A_log'),
    f'{OLD}.op.Ds': _directions(f'{OURS}.ss2d.D'),
    'classifier.norm': 'backbone.norm',
    'classifier.head': 'head.fc',
}
PATCHES = {'patch_embed.0': f'{PATCH}.proj', 'patch_embed.2': f'{PATCH}.norm'}
CONV_STEM = {
    'patch_embed.0': f'{PATCH}.conv1',
    'patch_embed.2': f'{PATCH}.norm1',
    'patch_embed.5': f'{PATCH}.conv2',
    'patch_embed.7': f'{PATCH}.norm2',
}
MERGING = {
    f'{OLD_DOWN}.norm': f'{DOWN}.norm',
    f'{OLD_DOWN}.reduction': _linear(f'{DOWN}.reduction'),
}
CONV = {f'{OLD_DOWN}.1': f'{DOWN}.conv', f'{OLD_DOWN}.3': f'{DOWN}.norm'}
#: How the official code itself renames older checkpoints when it loads them.
LEGACY = KeyMap(
    {
        'patch_embed.proj': 'patch_embed.0',
        'patch_embed.norm': 'patch_embed.2',
        f'{OLD}.ln_1': f'{OLD}.norm',
        **{name.replace('.op.', '.self_attention.'): name for name in COMMON if '.op.' in name},
        'norm': 'classifier.norm',
        'head': 'classifier.head',
    }
)
HINT = 'Position embeddings and the norms of the official ablations are not supported.'
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
    """Our names for an official state dict; UserError names the keys without one.

    Names of older checkpoints are understood, and so are the 1x1 convolutions that some hold
    instead of linear layers.
    """
    official = LEGACY.rename(state_dict)
    names = _names('patch_embed.5.weight' in official, official)
    return names.rename_all(official, 'official VMamba', HINT)


def to_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official names for our state dict; UserError names the keys without one."""
    names = _names(f'{PATCH}.conv1.weight' in state_dict, state_dict)
    return names.inverse().rename_all(state_dict, "our VMamba's", HINT)


def _names(conv_stem: bool, state_dict: Mapping[str, Tensor]) -> KeyMap:
    merging = any(key.endswith('downsample.reduction.weight') for key in state_dict)
    stem, downsample = CONV_STEM if conv_stem else PATCHES, MERGING if merging else CONV
    return KeyMap({**COMMON, **stem, **downsample})


def model_config(
    state_dict: Mapping[str, Tensor], img_size: int | tuple[int, int], **overrides
) -> dict:
    """Config of the ``ImageClassifier`` for a state dict in our names.

    Everything is read from keys and shapes. The model takes images of any size, so ``img_size``
    changes nothing.

    Raises:
        UserError: A tensor that determines the architecture is missing, or an official
            ``forward_type`` whose scan is another one.
    """
    stage = 'backbone.stages.0.'
    stem = f'{PATCH}.conv1.weight' in state_dict
    kernel = f'{PATCH}.{"conv1" if stem else "proj"}.weight'
    block = f'{stage}blocks.0.'
    required = [f'{block}norm1.weight', f'{block}ss2d.in_proj.weight', f'{block}ss2d.conv.weight']
    required += [kernel, f'{block}ss2d.A_log', f'{block}ss2d.dt_proj']
    require(state_dict, required, 'VMamba checkpoint')

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
    return classifier_config(state_dict, backbone)


def _depths(state_dict: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Blocks of each stage; a gap in the numbers shows as keys that do not fit."""
    stages = max(numbers(state_dict, 'backbone.stages.#.blocks.')) + 1
    return tuple(
        max(numbers(state_dict, f'backbone.stages.{i}.blocks.#.'), default=-1) + 1
        for i in range(stages)
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
    """Nothing to fit: VMamba has no position embeddings."""
    return dict(state_dict)
