"""CLIP of transformers (arXiv 2103.00020): its vision and its text Transformer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.key_map import KeyMap
from transmamba_mm.models.layouts.attention import attention_sources, rerun_attention
from transmamba_mm.models.layouts.base import AdapterLayout, Grid
from transmamba_mm.models.layouts.feature_source import CallInputs, FeatureSource
from transmamba_mm.models.layouts.layer_part import MLPPaths

LAYER = {
    'encoder.layers.#.layer_norm1': 'layers.#.norm1',
    'encoder.layers.#.self_attn.q_proj': 'layers.#.attn.q',
    'encoder.layers.#.self_attn.k_proj': 'layers.#.attn.k',
    'encoder.layers.#.self_attn.v_proj': 'layers.#.attn.v',
    'encoder.layers.#.self_attn.out_proj': 'layers.#.attn.out',
    'encoder.layers.#.layer_norm2': 'layers.#.norm2',
    'encoder.layers.#.mlp.fc1': 'layers.#.mlp.fc1',
    'encoder.layers.#.mlp.fc2': 'layers.#.mlp.fc2',
}
VISION_NAMES = KeyMap(
    {
        'embeddings.class_embedding': 'cls_token',
        'embeddings.position_embedding.weight': 'pos_embed',
        'embeddings.patch_embedding': 'patch_embed',
        'pre_layrnorm': 'pre_norm',
        'post_layernorm': 'norm',
        **LAYER,
    }
)
TEXT_NAMES = KeyMap(
    {
        'embeddings.token_embedding': 'token_embed',
        'embeddings.position_embedding.weight': 'pos_embed',
        'final_layer_norm': 'norm',
        **LAYER,
    }
)
WRAPPERS = ('vision_model.', 'text_model.')  # around the Transformer, in some versions


class ClipTransformerLayout(AdapterLayout):
    """Base class of both Transformers of a CLIP."""

    model_type = ''

    @classmethod
    def accepts(cls, backbone: Any) -> bool:
        """Whether it is this Transformer, alone or inside a CLIP or a LLaVA."""
        config = getattr(backbone, 'config', None)
        ours = type(backbone).__module__.startswith('transformers.')
        return ours and getattr(config, 'model_type', None) == cls.model_type

    def layer_paths(self) -> list[str]:
        """Modules, in depth order, whose output is the residual stream (B, tokens, D)."""
        prefix = next((name for name in WRAPPERS if hasattr(self.backbone, name[:-1])), '')
        count = self.backbone.config.num_hidden_layers
        return [f'{prefix}encoder.layers.{i}' for i in range(count)]

    def layer_dims(self) -> list[int]:
        """Width D of each layer's feature."""
        config = self.backbone.config
        return [config.hidden_size] * config.num_hidden_layers

    def mixer_paths(self) -> list[str]:
        """Attention of each layer."""
        return [f'{path}.self_attn' for path in self.layer_paths()]

    def mlp_paths(self) -> list[MLPPaths]:
        """Modules around the MLP of each layer."""
        return [
            MLPPaths(f'{path}.layer_norm2', f'{path}.mlp', f'{path}.mlp')
            for path in self.layer_paths()
        ]

    @property
    def mlp_activation(self) -> str:
        """Name of the MLPs' activation."""
        return self.backbone.config.hidden_act

    def key_dims(self) -> list[int]:
        """Width of the keys of each layer."""
        return self.layer_dims()

    def keys_queries(self) -> list[FeatureSource]:
        """Keys and queries (B, L, 2D) of each layer, computed again from the input."""
        return attention_sources(self.backbone, self.mixer_paths(), self._keys_queries)

    def _keys_queries(
        self, attention: Any, inputs: CallInputs, grid: Any
    ) -> tuple[Tensor, Tensor | None]:
        tokens = inputs.hidden_states
        pair = [attention.k_proj(tokens), attention.q_proj(tokens)]
        return self.to_canonical(torch.cat(pair, dim=-1), grid)

    def attention_maps(self) -> list[FeatureSource]:
        """Attention probabilities (B, heads, L, L), computed again from the input."""
        return attention_sources(self.backbone, self.mixer_paths(), rerun_attention)


class ClipVisionLayout(ClipTransformerLayout):
    """CLIP's vision Transformer; its cls token stands before the patches."""

    model_type = 'clip_vision_model'

    def layer_grids(self, image_size: Grid) -> list[Grid]:
        """Patch grid (H, W) of each layer for an image of ``image_size`` (height, width).

        Raises:
            UserError: An image that patches do not cover.
        """
        patch = self.backbone.config.patch_size
        height, width = image_size
        if height % patch or width % patch:
            raise UserError(
                f'CLIP cannot cut an image of {height}x{width} pixels into patches of {patch}: set '
                f'img_size of the teacher to {self.backbone.config.image_size}.'
            )
        return [(height // patch, width // patch)] * self.backbone.config.num_hidden_layers

    def to_canonical(self, tokens: Any, grid: Grid) -> tuple[Tensor, Tensor]:
        """Split (B, 1 + L, D) into patches in raster order (B, L, D) and cls (B, D)."""
        tokens = tokens[0] if isinstance(tokens, tuple) else tokens
        return tokens[:, 1:], tokens[:, 0]

    def canonical_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights by canonical names; the patch embedding gets a bias of zeros."""
        renamed = VISION_NAMES.rename(_unwrapped(state))
        renamed['cls_token'] = renamed['cls_token'].view(1, 1, -1)
        renamed['pos_embed'] = renamed['pos_embed'][None]
        kernel = renamed['patch_embed.weight']
        renamed.setdefault('patch_embed.bias', kernel.new_zeros(len(kernel)))
        return renamed


class ClipTextLayout(ClipTransformerLayout):
    """CLIP's text Transformer."""

    model_type = 'clip_text_model'

    def layer_grids(self, image_size: Grid) -> list[Grid]:
        """The grid (1, L) of each layer: the size itself."""
        return [image_size] * self.backbone.config.num_hidden_layers

    def to_canonical(self, tokens: Any, grid: Grid) -> tuple[Tensor, None]:
        """Tokens (B, L, D) as they are, and no cls token."""
        return tokens[0] if isinstance(tokens, tuple) else tokens, None

    def canonical_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights by canonical names."""
        renamed = TEXT_NAMES.rename(_unwrapped(state))
        renamed['pos_embed'] = renamed['pos_embed'][None]
        return renamed


def _unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The Transformer's own names, without buffers of places."""
    bare = {}
    for key, value in state.items():
        for wrapper in WRAPPERS:
            key = key.removeprefix(wrapper)
        if not key.endswith('position_ids'):
            bare[key] = value
    return bare
