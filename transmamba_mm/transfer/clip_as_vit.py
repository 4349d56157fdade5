"""The weights of a CLIP vision Transformer in the names of mmpretrain's, which the rules know."""

from collections.abc import Mapping

import torch
from torch import Tensor

NAMES = {
    'embeddings.class_embedding': 'cls_token',
    'embeddings.position_embedding.weight': 'pos_embed',
    'embeddings.patch_embedding.weight': 'patch_embed.projection.weight',
    'embeddings.patch_embedding.bias': 'patch_embed.projection.bias',
    'pre_layrnorm': 'pre_norm',
    'post_layernorm': 'ln1',
}
LAYER_NAMES = {
    'self_attn.out_proj': 'attn.proj',
    'layer_norm1': 'ln1',
    'layer_norm2': 'ln2',
    'mlp.fc1': 'ffn.layers.0.0',
    'mlp.fc2': 'ffn.layers.1',
}


def as_rules_know_them(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A tower's weights below 'backbone.', a CLIP's vision in the names that the rules know.

    Those of the layer behind the tower are below 'head.' already.
    """
    head = {key: value for key, value in weights.items() if key.startswith('head.')}
    tower = {key: value for key, value in weights.items() if key not in head}
    if any(key.endswith('embeddings.class_embedding') for key in tower):
        return clip_as_vit(tower) | head
    return {f'backbone.{key}': value for key, value in tower.items()} | head


def clip_as_vit(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename transformers' ``CLIPVisionModel`` (arXiv 2103.00020) into a ``VisionTransformer``.

    Query, key and value are stacked, cls token and positions get their leading axes, and the patch
    embedding, which has no bias, gets one of zeros: it says the same.

    Args:
        state (Mapping[str, Tensor]): With or without 'vision_model.' in front.

    Returns:
        dict[str, Tensor]: Keys below 'backbone.'.
    """
    state = {key.removeprefix('vision_model.'): value for key, value in state.items()}
    renamed = {}
    for key, value in state.items():
        if key.startswith('encoder.layers.'):
            _, _, layer, name = key.split('.', 3)
            if name.startswith(('self_attn.k_proj', 'self_attn.v_proj')):
                continue
            if name.startswith('self_attn.q_proj'):
                parts = [key.replace('q_proj', part) for part in ('q_proj', 'k_proj', 'v_proj')]
                value = torch.cat([state[part] for part in parts])
                name = name.replace('self_attn.q_proj', 'attn.qkv')
            renamed[f'layers.{layer}.{_swap(name, LAYER_NAMES)}'] = value
        elif not key.endswith('position_ids'):
            renamed[_swap(key, NAMES)] = value
    renamed['cls_token'] = renamed['cls_token'].view(1, 1, -1)
    renamed['pos_embed'] = renamed['pos_embed'][None]
    kernel = renamed['patch_embed.projection.weight']
    renamed.setdefault('patch_embed.projection.bias', kernel.new_zeros(len(kernel)))
    return {f'backbone.{key}': value for key, value in renamed.items()}


def _swap(key: str, names: Mapping[str, str]) -> str:
    for ours, theirs in names.items():
        if key.startswith(ours):
            return theirs + key[len(ours) :]
    return key
