"""Vision Transformers of mmpretrain: ViT, DeiT, distilled DeiT."""

from collections.abc import Mapping
from typing import Any

import torch
from mmcv.cnn.bricks.transformer import FFN
from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.key_map import KeyMap, Stack
from transmamba_mm.models.layouts.attention import attention_sources
from transmamba_mm.models.layouts.base import AdapterLayout, Grid
from transmamba_mm.models.layouts.feature_source import CallInputs, FeatureSource
from transmamba_mm.models.layouts.layer_part import MLPPaths

#: Queries, keys and values of a layer, which mmpretrain has as one tensor.
QKV = Stack(tuple(f'layers.#.attn.{part}' for part in 'qkv'))
NAMES = KeyMap(
    {
        'patch_embed.projection': 'patch_embed',
        'layers.#.ln1': 'layers.#.norm1',
        'layers.#.attn.qkv': QKV,
        'layers.#.attn.proj': 'layers.#.attn.out',
        'layers.#.attn.gamma1.weight': 'layers.#.scale1',
        'layers.#.ln2': 'layers.#.norm2',
        'layers.#.ffn.layers.0.0': 'layers.#.mlp.fc1',
        'layers.#.ffn.layers.1': 'layers.#.mlp.fc2',
        'layers.#.ffn.gamma2.weight': 'layers.#.scale2',
        'ln1': 'norm',
    }
)
#: Of a teacher that averages its patches, which normalizes behind the average instead.
LAST_NORM = {'ln2.weight': 'norm.weight', 'ln2.bias': 'norm.bias'}


class VisionTransformerLayout(AdapterLayout):
    """The extra tokens (cls, and the distillation token of a DeiT) stand before the patches."""

    @classmethod
    def accepts(cls, backbone: Any) -> bool:
        """Whether it is a ``VisionTransformer`` of mmpretrain or one of its relatives."""
        return isinstance(backbone, VisionTransformer)

    def layer_paths(self) -> list[str]:
        """Modules, in depth order, whose output is the residual stream (B, tokens, D)."""
        return [f'layers.{i}' for i in range(self.backbone.num_layers)]

    def layer_dims(self) -> list[int]:
        """Width D of each layer's feature."""
        return [self.backbone.embed_dims] * self.backbone.num_layers

    def layer_grids(self, image_size: Grid) -> list[Grid]:
        """Patch grid (H, W) of each layer for an image of ``image_size`` (height, width)."""
        return [self.patch_grid(image_size)] * self.backbone.num_layers

    def patch_grid(self, image_size: Grid) -> Grid:
        """Patch grid (H, W) of an image of ``image_size`` (height, width) pixels.

        Raises:
            UserError: Patches do not cover the image; mmpretrain would pad it silently, and
                its patches would not lie where the student's do.
        """
        conv = self.backbone.patch_embed.projection
        grid = []
        for side, kernel, stride, padding in zip(
            image_size, conv.kernel_size, conv.stride, conv.padding, strict=True
        ):
            steps, rest = divmod(side + 2 * padding - kernel, stride)
            if steps < 0 or rest:
                fits = kernel - 2 * padding + max(steps, 0) * stride
                raise UserError(
                    f'The {type(self.backbone).__name__} teacher cannot cut an image of '
                    f'{image_size[0]}x{image_size[1]} pixels into patches of {kernel} at stride '
                    f'{stride}: set img_size of the teacher to a side of {fits} or {fits + stride} '
                    'pixels; it is resized for the teacher alone.'
                )
            grid.append(steps + 1)
        return grid[0], grid[1]

    def to_canonical(self, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor | None]:
        """Split (B, tokens, D) into patches in raster order (B, L, D) and cls (B, D) or None."""
        extra = self.backbone.num_extra_tokens
        return tokens[:, extra:], tokens[:, 0] if extra else None

    def mixer_paths(self) -> list[str]:
        """Attention of each layer; its output includes the layer scale, if there is one."""
        return [f'{path}.attn' for path in self.layer_paths()]

    def mlp_paths(self) -> list[MLPPaths]:
        """Modules around each MLP; its own output has the residual stream in it."""
        return [
            MLPPaths(f'{path}.ln2', f'{path}.ffn', f'{path}.ffn.gamma2')
            for path in self.layer_paths()
        ]

    @property
    def mlp_activation(self) -> str | None:
        """Name of the MLPs' activation; None of a gated MLP."""
        ffn = self.backbone.layers[0].ffn
        return type(ffn.layers[0][1]).__name__.lower() if isinstance(ffn, FFN) else None

    def attention_maps(self) -> list[FeatureSource]:
        """Attention probabilities (B, heads, tokens, tokens), computed again from the input."""
        return attention_sources(self.backbone, self.mixer_paths(), _attention_map)

    def key_dims(self) -> list[int]:
        """Width of the keys of each layer."""
        return self.layer_dims()

    def keys_queries(self) -> list[FeatureSource]:
        """Keys and queries (B, L, 2D) of each layer, computed again from the input."""
        return attention_sources(self.backbone, self.mixer_paths(), self._keys_queries)

    def _keys_queries(
        self, attention: Any, inputs: CallInputs, grid: Grid
    ) -> tuple[Tensor, Tensor | None]:
        query, key, _ = attention.qkv(inputs.hidden_states).chunk(3, dim=-1)
        return self.to_canonical(torch.cat([key, query], dim=-1), grid)

    @property
    def position_grid(self) -> Grid:
        """Patch grid (H, W) of the position embeddings."""
        return tuple(self.backbone.patch_resolution)

    def canonical_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights by canonical names; query, key and value are views of one tensor.

        Registers, which stand behind the cls token, have no place in a student and are left out.
        """
        renamed = NAMES.rename(state)
        cls = renamed.get('cls_token')
        if cls is not None and cls.shape[1] > 1:
            positions, extra = renamed['pos_embed'], cls.shape[1]
            renamed['cls_token'] = cls[:, :1]
            renamed['pos_embed'] = torch.cat([positions[:, :1], positions[:, extra:]], dim=1)
        if 'norm.weight' not in renamed:
            renamed = {LAST_NORM.get(key, key): value for key, value in renamed.items()}
        return renamed


def _attention_map(attention: Any, inputs: CallInputs, grid: Any) -> Tensor:
    stacked = attention.qkv(inputs.hidden_states).unflatten(-1, (3, attention.num_heads, -1))
    query, key, _ = stacked.permute(2, 0, 3, 1, 4)  # (B, heads, tokens, head width) each
    return (query @ key.mT * attention.head_dims**-0.5).softmax(-1)
