"""Vision Transformers of all libraries, by mmpretrain's names."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from transmamba_mm.convert.teachers.pretrained import count
from transmamba_mm.errors import UserError

#: Heads of widths whose heads are not 64 wide, as they are in every library.
HEADS = {1152: 16, 1280: 16, 1408: 16}
HEAD_DIMS = 64
ACTIVATIONS = {
    'gelu': {'type': 'GELU'},
    'gelu_tanh': {'type': 'GELU', 'approximate': 'tanh'},
}


@dataclass(frozen=True)
class ViT:
    """What the weights of a Vision Transformer do not show.

    Attributes:
        num_heads (int, optional): By default heads are 64 wide, but for known exceptions.
        eps (float): Of the norms.
        activation (str): 'gelu' or 'gelu_tanh'.
        pooling (str): What the head reads: 'cls'; 'both' tokens of a distilled DeiT, whose heads
            are averaged; 'mean' of the normalized patches; 'cls_mean', both side by side; 'map', an
            attention pooling. A norm behind the mean (``ln2``) is recognized by its weights.
    """

    num_heads: int | None = None
    eps: float = 1e-6
    activation: str = 'gelu'
    pooling: str = 'cls'


def build_vit(
    weights: Mapping[str, Tensor], described: ViT
) -> tuple[dict[str, Any], dict[str, Tensor], tuple[int, int]]:
    """Config of an mmpretrain classifier, its weights, and its image size.

    Args:
        weights (Mapping[str, Tensor]): By mmpretrain's names without ``backbone.``, but for
            ``registers`` (1, R, D) and the head: ``head.weight`` (classes, D), ``head_dist.weight``
            and ``pool.*``.
        described (ViT): The rest.

    Raises:
        UserError: Weights that are missing, or positions of no square grid.
    """
    state = dict(weights)
    try:
        kernel = state['patch_embed.projection.weight']  # (D, C, p, p)
        hidden = len(state['layers.0.ffn.layers.0.0.weight'])
        state['layers.0.attn.qkv.weight']
    except KeyError as error:
        raise UserError(f'A ViT without {error}: the checkpoint is incomplete.') from error
    dims, in_channels, patch, _ = kernel.shape
    registers = state.pop('registers', None)
    extra = [state[key] for key in ('cls_token', 'dist_token') if key in state]
    num_extra = len(extra) + (0 if registers is None else registers.shape[1])
    grid = _place_positions(state, num_extra)
    if registers is not None:  # they stand behind the cls token, without a position
        state['cls_token'] = torch.cat([state['cls_token'], registers], dim=1)
    backbone: dict[str, Any] = {
        'type': 'VisionTransformer',
        'arch': {
            'embed_dims': dims,
            'num_layers': count(state, 'layers.'),
            'num_heads': described.num_heads or HEADS.get(dims, max(dims // HEAD_DIMS, 1)),
            'feedforward_channels': hidden,
        },
        'img_size': grid * patch,
        'patch_size': patch,
        'in_channels': in_channels,
        'norm_cfg': {'type': 'LN', 'eps': described.eps},
    }
    if 'layers.0.attn.qkv.bias' not in state:
        backbone['qkv_bias'] = False
    if 'layers.0.attn.gamma1.weight' in state:
        backbone['layer_scale_init_value'] = 1.0
    if described.activation != 'gelu':
        backbone['layer_cfgs'] = {'act_cfg': ACTIVATIONS[described.activation]}
    if 'pre_norm.weight' in state:
        backbone |= {
            'pre_norm': True,
            'patch_cfg': {'bias': 'patch_embed.projection.bias' in state},
        }
    if 'dist_token' in state:
        backbone['type'] = 'DistilledVisionTransformer'
    elif registers is not None:
        backbone |= {
            'type': 'transmamba_mm.RegisterVisionTransformer',
            'num_registers': registers.shape[1],
        }
    elif not extra:
        backbone['with_cls_token'] = False
    head = {key: state.pop(key) for key in list(state) if key.startswith(('head', 'pool.'))}
    model = {'type': 'ImageClassifier', 'backbone': backbone, 'neck': None, 'head': None}
    state = {f'backbone.{key}': value for key, value in state.items()}
    _add_head(model, state, head, described, num_extra)
    size = grid * patch
    return model, state, (size, size)


def _place_positions(state: dict[str, Tensor], num_extra: int) -> int:
    """Give every token a position, 0 where a library has none; return the side of the grid."""
    positions = state['pos_embed']  # (1, entries, D)
    for with_position in dict.fromkeys((num_extra, 1, 0)):
        side = isqrt(max(positions.shape[1] - with_position, 0))
        if side**2 == positions.shape[1] - with_position > 0:
            missing = positions.new_zeros(1, num_extra - with_position, positions.shape[2])
            parts = [positions[:, :with_position], missing, positions[:, with_position:]]
            state['pos_embed'] = torch.cat(parts, dim=1)
            return side
    raise UserError(
        f'{positions.shape[1]} positions are not {num_extra} extra tokens and a square grid.'
    )


def _add_head(
    model: dict[str, Any],
    state: dict[str, Tensor],
    head: dict[str, Tensor],
    described: ViT,
    num_extra: int,
) -> None:
    backbone, weight = model['backbone'], head.get('head.weight')
    pooling = described.pooling
    if 'backbone.ln2.weight' in state:  # a norm behind the mean instead of before it
        backbone |= {'out_type': 'avg_featmap', 'final_norm': False}
    elif pooling == 'mean':
        backbone['out_type'] = 'featmap'
        model['neck'] = {'type': 'GlobalAveragePooling'}
    elif pooling == 'map':
        backbone['out_type'] = 'raw'
        arch = backbone['arch']
        model['neck'] = {
            'type': 'transmamba_mm.AttentionPooling',
            'embed_dims': arch['embed_dims'],
            'num_heads': arch['num_heads'],
            'feedforward_channels': len(head['pool.fc1.weight']),
            'num_extra_tokens': num_extra,
            'eps': described.eps,
            'activation': described.activation,
        }
        state |= {f'neck.{key[5:]}': value for key, value in head.items() if key[:5] == 'pool.'}
    elif pooling == 'cls_mean' or (pooling == 'cls' and 'backbone.dist_token' in state):
        backbone['out_type'] = 'raw'
        model['neck'] = {
            'type': 'transmamba_mm.TokenPooling',
            'kind': pooling,
            'num_extra_tokens': num_extra,
        }
    if weight is None:
        return
    kind, names = 'LinearClsHead', {'head': 'fc'}
    if pooling == 'both':
        kind, names = 'DeiTClsHead', {'head': 'layers.head', 'head_dist': 'layers.head_dist'}
    model['head'] = {'type': kind, 'num_classes': len(weight), 'in_channels': weight.shape[1]}
    for old, new in names.items():
        state[f'head.{new}.weight'] = head[f'{old}.weight']
        state[f'head.{new}.bias'] = head.get(f'{old}.bias', weight.new_zeros(len(weight)))
