"""Checkpoints of timm, of DeiT (facebookresearch) and of Swin (Microsoft), which share names."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from transmamba_mm.convert.teachers.pretrained import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageSettings,
    PretrainedClassifier,
    count,
)
from transmamba_mm.convert.teachers.swin import build_swin
from transmamba_mm.convert.teachers.vit import ViT, build_vit
from transmamba_mm.key_map import KeyMap

VIT = KeyMap(
    {
        'patch_embed.proj': 'patch_embed.projection',
        'norm_pre': 'pre_norm',
        'blocks.#.norm1': 'layers.#.ln1',
        'blocks.#.attn.qkv': 'layers.#.attn.qkv',
        'blocks.#.attn.proj': 'layers.#.attn.proj',
        'blocks.#.ls1.gamma': 'layers.#.attn.gamma1.weight',
        'blocks.#.norm2': 'layers.#.ln2',
        'blocks.#.mlp.fc1': 'layers.#.ffn.layers.0.0',
        'blocks.#.mlp.fc2': 'layers.#.ffn.layers.1',
        'blocks.#.ls2.gamma': 'layers.#.ffn.gamma2.weight',
        'norm': 'ln1',
        'fc_norm': 'ln2',
        'cls_token': 'cls_token',
        'dist_token': 'dist_token',
        'reg_token': 'registers',
        'pos_embed': 'pos_embed',
        'head': 'head',
        'head_dist': 'head_dist',
        'attn_pool.latent': 'pool.query',
        'attn_pool.proj': 'pool.attention.out_proj',
        'attn_pool.norm': 'pool.norm',
        'attn_pool.mlp.fc1': 'pool.fc1',
        'attn_pool.mlp.fc2': 'pool.fc2',
        'pool.attention.in_proj_weight': 'pool.attention.in_proj_weight',
        'pool.attention.in_proj_bias': 'pool.attention.in_proj_bias',
    }
)
BLOCK = {
    'norm1': 'norm1',
    'attn.qkv': 'attn.w_msa.qkv',
    'attn.proj': 'attn.w_msa.proj',
    'attn.relative_position_bias_table': 'attn.w_msa.relative_position_bias_table',
    'norm2': 'norm2',
    'mlp.fc1': 'ffn.layers.0.0',
    'mlp.fc2': 'ffn.layers.1',
}
SWIN = KeyMap(
    {
        'patch_embed.proj': 'patch_embed.projection',
        'patch_embed.norm': 'patch_embed.norm',
        **{f'layers.#.blocks.#.{old}': f'stages.#.blocks.#.{new}' for old, new in BLOCK.items()},
        'layers.#.downsample': 'stages.#.downsample',
        'layers.#.downsample.norm': 'stages.#.downsample.norm',
        'layers.#.downsample.reduction': 'stages.#.downsample.reduction',
        'norm': 'norm',
        'head': 'head',
        'head.fc': 'head',
    }
)
#: Buffers, which are computed.
BUFFERS = ('relative_position_index', 'attn_mask')


def is_timm(state: Mapping[str, Tensor]) -> bool:
    """Whether the keys are timm's."""
    return 'patch_embed.proj.weight' in state and (
        'blocks.0.attn.qkv.weight' in state or 'layers.0.blocks.0.attn.qkv.weight' in state
    )


def read_timm(
    state: Mapping[str, Tensor], source: str, config: Mapping[str, Any] | None = None
) -> PretrainedClassifier:
    """A classifier from timm's weights.

    Args:
        state (Mapping[str, Tensor]): The weights.
        source (str): Where they are from.
        config (Mapping, optional): The ``config.json`` beside them: ``pretrained_cfg`` describes
            the images, ``model_args`` what the weights do not show. Without it the images are
            ImageNet's as DeiT and Swin prepare them.

    Raises:
        UserError: Keys of another architecture, weights that are missing.
    """
    config = config or {}
    images, arguments = config.get('pretrained_cfg') or {}, config.get('model_args') or {}
    settings = ImageSettings(
        mean=tuple(images.get('mean', IMAGENET_MEAN)),
        std=tuple(images.get('std', IMAGENET_STD)),
        interpolation=images.get('interpolation', 'bicubic'),
        classes=_classes(config),
    )
    kept = {key: value for key, value in state.items() if not key.endswith(BUFFERS)}
    if 'layers.0.blocks.0.attn.qkv.weight' in state:
        size = images.get('input_size') or (3, 224, 224)
        weights = SWIN.rename_all(_downsample_behind(kept), "timm's Swin", HINT)
        return PretrainedClassifier(
            *build_swin(weights, size[-1])[:2], 'timm', source, tuple(size[-2:]), settings
        )
    kept = _joined_pool(kept)
    pooling = 'cls'
    if 'dist_token' in kept and 'head_dist.weight' in kept:
        pooling = 'both'
    elif 'pool.attention.in_proj_weight' in kept:
        pooling = 'map'
    elif arguments.get('global_pool') == 'avg' or 'cls_token' not in kept:
        pooling = 'mean'
    described = ViT(
        num_heads=arguments.get('num_heads'),
        activation=arguments.get('act_layer', 'gelu'),
        pooling=pooling,
    )
    model, weights, size = build_vit(VIT.rename_all(kept, "timm's ViT", HINT), described)
    return PretrainedClassifier(model, weights, 'timm', source, size, settings)


HINT = 'ViT, DeiT and Swin are read; other architectures are not.'


def _classes(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    names = config.get('label_names') or (config.get('pretrained_cfg') or {}).get('label_names')
    return tuple(names) if names else None


def _joined_pool(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Query, key and value of an attention pooling as one tensor."""

    for name in ('weight', 'bias'):
        parts = [state.pop(f'attn_pool.{part}.{name}', None) for part in ('q', 'kv')]
        if parts[0] is not None and parts[1] is not None:
            state[f'pool.attention.in_proj_{name}'] = torch.cat(parts)  # type: ignore[arg-type]
    return state


def _downsample_behind(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Reductions at the end of a stage, as in Microsoft's code; timm has them at the start."""
    if 'layers.0.downsample.reduction.weight' in state:
        return state
    moved = {}
    for key, value in state.items():
        if '.downsample.' in key:
            stage = int(key.split('.')[1])
            key = key.replace(f'layers.{stage}.', f'layers.{stage - 1}.', 1)
        moved[key] = value
    assert count(moved, 'layers.') == count(state, 'layers.')
    return moved
