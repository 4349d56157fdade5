"""Llama-like language models of transformers (arXiv 2302.13971)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from transmamba_mm.key_map import KeyMap
from transmamba_mm.models.layouts.attention import attention_sources, rerun_attention
from transmamba_mm.models.layouts.base import AdapterLayout, Grid
from transmamba_mm.models.layouts.feature_source import FeatureSource
from transmamba_mm.models.layouts.layer_part import MLPPaths

NAMES = KeyMap(
    {
        'embed_tokens': 'token_embed',
        'layers.#.input_layernorm': 'layers.#.norm1',
        'layers.#.self_attn.q_proj': 'layers.#.attn.q',
        'layers.#.self_attn.k_proj': 'layers.#.attn.k',
        'layers.#.self_attn.v_proj': 'layers.#.attn.v',
        'layers.#.self_attn.o_proj': 'layers.#.attn.out',
        'layers.#.post_attention_layernorm': 'layers.#.norm2',
        'layers.#.mlp.gate_proj': 'layers.#.mlp.gate',
        'layers.#.mlp.up_proj': 'layers.#.mlp.fc1',
        'layers.#.mlp.down_proj': 'layers.#.mlp.fc2',
    }
)


class DecoderLayout(AdapterLayout):
    """A language model with a list of ``layers``, such as a ``LlamaModel``.

    Its queries and keys are rotated by the position, behind the weights that have canonical names.
    Where several heads share their values (grouped-query attention, arXiv 2305.13245), ``attn.v``
    has those of each head, and ``attn.shared_v`` is what the model has.
    """

    @classmethod
    def accepts(cls, backbone: Any) -> bool:
        """Whether it is a model of transformers with ``layers``."""
        return type(backbone).__module__.startswith('transformers.') and hasattr(backbone, 'layers')

    def layer_paths(self) -> list[str]:
        """Modules, in depth order, whose output is the residual stream (B, L, D)."""
        return [f'layers.{i}' for i in range(self.backbone.config.num_hidden_layers)]

    def layer_dims(self) -> list[int]:
        """Width D of each layer's feature."""
        config = self.backbone.config
        return [config.hidden_size] * config.num_hidden_layers

    def layer_grids(self, image_size: Grid) -> list[Grid]:
        """The grid (1, L) of each layer: the size itself."""
        return [image_size] * self.backbone.config.num_hidden_layers

    def to_canonical(self, tokens: Any, grid: Grid) -> tuple[Tensor, None]:
        """Tokens (B, L, D) as they are, and no cls token."""
        return tokens[0] if isinstance(tokens, tuple) else tokens, None

    def mixer_paths(self) -> list[str]:
        """Attention of each layer."""
        return [f'{path}.self_attn' for path in self.layer_paths()]

    def mlp_paths(self) -> list[MLPPaths]:
        """Modules around the MLP of each layer."""
        return [
            MLPPaths(f'{path}.post_attention_layernorm', f'{path}.mlp', f'{path}.mlp')
            for path in self.layer_paths()
        ]

    def attention_maps(self) -> list[FeatureSource]:
        """Attention probabilities (B, heads, L, L), computed again from the input."""
        return attention_sources(self.backbone, self.mixer_paths(), rerun_attention)

    def canonical_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights by canonical names."""
        named, config = NAMES.rename(state), self.backbone.config
        heads = config.num_attention_heads
        shared = getattr(config, 'num_key_value_heads', heads)
        if shared == heads:
            return named
        for key in [key for key in named if '.attn.v.' in key]:
            values = named[key]  # (shared * head width, ...)
            named[key.replace('.attn.v.', '.attn.shared_v.')] = values
            by_head = values.unflatten(0, (shared, -1)).repeat_interleave(heads // shared, dim=0)
            named[key] = by_head.flatten(0, 1)
        return named
