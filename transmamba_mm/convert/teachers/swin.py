"""Swin Transformers (V1) of all libraries, by mmpretrain's names."""

from collections.abc import Mapping
from math import isqrt
from typing import Any

from mmpretrain.models.utils import WindowMSA
from torch import Tensor

from transmamba_mm.convert.teachers.pretrained import count
from transmamba_mm.errors import UserError

EPS = 1e-5
HEAD_DIMS = 32


def build_swin(
    weights: Mapping[str, Tensor], img_size: int = 224, eps: float = EPS
) -> tuple[dict[str, Any], dict[str, Tensor], tuple[int, int]]:
    """Config of an mmpretrain classifier, its weights, and its image size.

    Args:
        weights (Mapping[str, Tensor]): By mmpretrain's names without ``backbone.``, but for the
            head (``head.weight``) and the last norm (``norm``); the reductions between stages are
            as in Microsoft's code, the four neighbors one after the other.
        img_size (int): Side of its images.
        eps (float): Of the blocks' norms and the last one; the others' is 1e-5 everywhere.

    Raises:
        UserError: Weights that are missing.
    """
    state = {key: value for key, value in weights.items() if 'relative_position_index' not in key}
    num_stages = count(state, 'stages.')
    depths = [count(state, f'stages.{i}.blocks.') for i in range(num_stages)]
    tables = [
        state.get(f'stages.{i}.blocks.0.attn.w_msa.relative_position_bias_table')
        for i in range(num_stages)
    ]
    kernel = state.get('patch_embed.projection.weight')
    if kernel is None or not tables or any(table is None for table in tables):
        raise UserError('A Swin without its patch embedding or position biases is incomplete.')
    dims, in_channels, patch, _ = kernel.shape
    window = (isqrt(len(tables[0])) + 1) // 2
    places = WindowMSA(HEAD_DIMS, (window, window), 1).relative_position_index
    for i, depth in enumerate(depths):
        for j in range(depth):
            state[f'stages.{i}.blocks.{j}.attn.w_msa.relative_position_index'] = places
    for i in range(num_stages - 1):
        for name in ('reduction.weight', 'norm.weight', 'norm.bias'):
            key = f'stages.{i}.downsample.{name}'
            state[key] = _unfold_order(state[key])
    for name in ('weight', 'bias'):
        state[f'norm{num_stages - 1}.{name}'] = state.pop(f'norm.{name}')
    head = {key: state.pop(key) for key in list(state) if key.startswith('head.')}
    backbone = {
        'type': 'SwinTransformer',
        'arch': {
            'embed_dims': dims,
            'depths': depths,
            'num_heads': [table.shape[1] for table in tables],
        },
        'img_size': img_size,
        'patch_size': patch,
        'in_channels': in_channels,
        'window_size': window,
        'out_indices': [num_stages - 1],
        'norm_cfg': {'type': 'LN', 'eps': eps},
        'stage_cfgs': {
            'block_cfgs': {'norm_cfg': {'type': 'LN', 'eps': eps}},
        },
        'drop_path_rate': 0.0,
    }
    model: dict[str, Any] = {
        'type': 'ImageClassifier',
        'backbone': backbone,
        'neck': {'type': 'GlobalAveragePooling'},
        'head': None,
    }
    state = {f'backbone.{key}': value for key, value in state.items()}
    if head:
        classes, width = head['head.weight'].shape
        model['head'] = {'type': 'LinearClsHead', 'num_classes': classes, 'in_channels': width}
        state |= {key.replace('head.', 'head.fc.'): value for key, value in head.items()}
    return model, state, (img_size, img_size)


def _unfold_order(tensor: Tensor) -> Tensor:
    """From four neighbors (4, C) to mmpretrain's channels (C, 4), along the last dimension.

    Microsoft stacks the neighbors column by column: the second is below the first.
    """
    neighbors = tensor.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
    return neighbors.transpose(-1, -2).flatten(-2)
