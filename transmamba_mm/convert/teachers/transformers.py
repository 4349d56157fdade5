"""Checkpoints of transformers: ViT, DeiT, DINOv2, SigLIP, Swin and CLIP, of version 4 and 5."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from transmamba_mm.convert.teachers.clip import KINDS as CLIP
from transmamba_mm.convert.teachers.clip import read_clip
from transmamba_mm.convert.teachers.pretrained import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageSettings,
    PretrainedClassifier,
)
from transmamba_mm.convert.teachers.swin import build_swin
from transmamba_mm.convert.teachers.vit import ViT, build_vit
from transmamba_mm.errors import UserError
from transmamba_mm.key_map import KeyMap, Stack

HINT = 'ViT, DeiT, DINOv2, SigLIP and Swin are read; other architectures are not.'
#: Numbers of PIL's filters.
FILTERS = {0: 'nearest', 1: 'lanczos', 2: 'bilinear', 3: 'bicubic', 4: 'box', 5: 'hamming'}
ACTIVATIONS = {'gelu': 'gelu', 'gelu_pytorch_tanh': 'gelu_tanh', 'gelu_new': 'gelu_tanh'}
EMBEDDINGS = {
    'embeddings.cls_token': 'cls_token',
    'embeddings.distillation_token': 'dist_token',
    'embeddings.register_tokens': 'registers',
    'embeddings.position_embeddings': 'pos_embed',
    'embeddings.position_embedding.weight': 'pos_embed',
    'embeddings.patch_embeddings.projection': 'patch_embed.projection',
    'embeddings.patch_embedding': 'patch_embed.projection',
}
HEADS = {
    'layernorm': 'ln1',
    'post_layernorm': 'ln1',
    'classifier': 'head',
    'cls_classifier': 'head',
    'distillation_classifier': 'head_dist',
    'head.probe': 'pool.query',
    'head.attention.in_proj_weight': 'pool.attention.in_proj_weight',
    'head.attention.in_proj_bias': 'pool.attention.in_proj_bias',
    'head.attention.out_proj': 'pool.attention.out_proj',
    'head.layernorm': 'pool.norm',
    'head.mlp.fc1': 'pool.fc1',
    'head.mlp.fc2': 'pool.fc2',
}
#: Names of a layer's parts: those of version 4, then those of version 5.
LAYERS = ('encoder.layer.#', 'layers.#', 'encoder.layers.#')
BLOCK = {
    'layernorm_before': 'ln1',
    'norm1': 'ln1',
    'layer_norm1': 'ln1',
    'attention.output.dense': 'attn.proj',
    'attention.o_proj': 'attn.proj',
    'self_attn.out_proj': 'attn.proj',
    'layer_scale1.lambda1': 'attn.gamma1.weight',
    'layernorm_after': 'ln2',
    'norm2': 'ln2',
    'layer_norm2': 'ln2',
    'intermediate.dense': 'ffn.layers.0.0',
    'output.dense': 'ffn.layers.1',
    'mlp.fc1': 'ffn.layers.0.0',
    'mlp.fc2': 'ffn.layers.1',
    'layer_scale2.lambda1': 'ffn.gamma2.weight',
}
QKV = (
    tuple(f'attention.attention.{name}' for name in ('query', 'key', 'value')),
    tuple(f'attention.self.{name}' for name in ('query', 'key', 'value')),
    tuple(f'attention.{name}_proj' for name in 'qkv'),
    tuple(f'self_attn.{name}_proj' for name in 'qkv'),
)


def _layer(layer: str, ours: str, attention: str, block: Mapping[str, str]) -> dict[Any, str]:
    names: dict[Any, str] = {f'{layer}.{old}': f'{ours}.{new}' for old, new in block.items()}
    for parts in QKV:
        names[Stack(tuple(f'{layer}.{part}' for part in parts))] = f'{ours}.{attention}.qkv'
    return names


VIT = KeyMap(
    {
        **EMBEDDINGS,
        **HEADS,
        **{
            key: new
            for layer in LAYERS
            for key, new in _layer(layer, 'layers.#', 'attn', BLOCK).items()
        },
    }
)
TABLE = 'relative_position_bias_table'
SWIN_BLOCK = {
    'layernorm_before': 'norm1',
    'attention.output.dense': 'attn.w_msa.proj',
    'attention.o_proj': 'attn.w_msa.proj',
    f'attention.self.{TABLE}': f'attn.w_msa.{TABLE}',
    f'attention.relative_position_bias.{TABLE}': f'attn.w_msa.{TABLE}',
    'layernorm_after': 'norm2',
    'intermediate.dense': 'ffn.layers.0.0',
    'output.dense': 'ffn.layers.1',
    'mlp.fc1': 'ffn.layers.0.0',
    'mlp.fc2': 'ffn.layers.1',
}
SWIN = KeyMap(
    {
        'embeddings.patch_embeddings.projection': 'patch_embed.projection',
        'embeddings.norm': 'patch_embed.norm',
        'encoder.layers.#.downsample.norm': 'stages.#.downsample.norm',
        'encoder.layers.#.downsample.reduction': 'stages.#.downsample.reduction',
        'layernorm': 'norm',
        'classifier': 'head',
        **_layer('encoder.layers.#.blocks.#', 'stages.#.blocks.#', 'attn.w_msa', SWIN_BLOCK),
    }
)
#: Kinds of models, and the prefix of their weights in a model with a head.
PREFIXES = {
    'vit': 'vit.',
    'deit': 'deit.',
    'dinov2': 'dinov2.',
    'dinov2_with_registers': 'dinov2_with_registers.',
    'siglip': 'vision_model.',
    'siglip_vision_model': 'vision_model.',
    'swin': 'swin.',
}
UNUSED = ('mask_token', 'relative_position_index', 'position_ids', 'pooler.dense.')


def read_transformers(
    state: Mapping[str, Tensor],
    source: str,
    config: Mapping[str, Any],
    preprocessor: Mapping[str, Any] | None = None,
) -> PretrainedClassifier:
    """A classifier from transformers' weights.

    Args:
        state (Mapping[str, Tensor]): The weights.
        source (str): Where they are from.
        config (Mapping): ``config.json``.
        preprocessor (Mapping, optional): ``preprocessor_config.json``, else ImageNet's.

    Raises:
        UserError: Another kind of model, keys of another architecture, weights that are missing.
    """
    kind = str(config.get('model_type'))
    settings = _settings(config, preprocessor or {})
    if kind in CLIP:
        return read_clip(state, source, config, settings)
    if kind not in PREFIXES:
        hint = ' Name it as teacher.model.checkpoint of a LlavaTeacher.' if 'llava' in kind else ''
        known = ', '.join(sorted([*PREFIXES, *CLIP]))
        raise UserError(f'{source} is a {kind} of transformers; {known} are read.{hint}')
    prefix = PREFIXES[kind]
    weights = {
        key.removeprefix(prefix): value
        for key, value in state.items()
        if not any(name in key for name in UNUSED) and not key.startswith(('text_model', 'logit_'))
    }
    vision = config.get('vision_config') or config
    eps = float(vision.get('layer_norm_eps', 1e-6 if 'siglip' in kind else 1e-12))
    if kind == 'swin':
        size = int(vision.get('image_size', 224))
        found = build_swin(SWIN.rename_all(weights, "transformers' Swin", HINT), size, eps)
        return PretrainedClassifier(*found[:2], 'transformers', source, found[2], settings)
    if 'siglip' in kind:  # its positions are those of a module
        weights = _as_positions(weights)
    activation = str(vision.get('hidden_act', 'gelu_pytorch_tanh' if 'siglip' in kind else 'gelu'))
    if activation not in ACTIVATIONS:
        raise UserError(f'{source}: hidden_act={activation!r}; {", ".join(ACTIVATIONS)} are read.')
    has_head = 'classifier.weight' in weights
    pooling = {'dinov2': 'cls_mean', 'dinov2_with_registers': 'cls_mean'}.get(kind, 'cls')
    if 'siglip' in kind:
        pooling = 'mean' if has_head else 'map'
    if 'distillation_classifier.weight' in weights:
        pooling = 'both'
    if pooling != 'map':
        weights = {key: value for key, value in weights.items() if not key.startswith('head.')}
    described = ViT(int(vision['num_attention_heads']), eps, ACTIVATIONS[activation], pooling)
    model, built, size = build_vit(VIT.rename_all(weights, "transformers' ViT", HINT), described)
    return PretrainedClassifier(model, built, 'transformers', source, size, settings)


def _as_positions(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    key = 'embeddings.position_embedding.weight'
    return {name: value.unsqueeze(0) if name == key else value for name, value in weights.items()}


def _settings(config: Mapping[str, Any], preprocessor: Mapping[str, Any]) -> ImageSettings:
    names = config.get('id2label') or {}
    classes = tuple(names[key] for key in sorted(names, key=int)) if names else None
    if classes and all(name == f'LABEL_{i}' for i, name in enumerate(classes)):
        classes = None
    return ImageSettings(
        mean=tuple(preprocessor.get('image_mean', IMAGENET_MEAN)),
        std=tuple(preprocessor.get('image_std', IMAGENET_STD)),
        interpolation=FILTERS.get(preprocessor.get('resample', 3), 'bicubic'),
        classes=classes,
    )
