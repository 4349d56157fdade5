"""Swin Transformers of mmpretrain, V1 and V2."""

from collections.abc import Mapping
from functools import partial
from math import ceil
from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models.backbones import SwinTransformer, SwinTransformerV2
from torch import LongTensor, Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.key_map import KeyMap, Stack
from transmamba_mm.models.layouts.base import AdapterLayout, Grid
from transmamba_mm.models.layouts.feature_source import FeatureSource
from transmamba_mm.models.layouts.layer_part import MLPPaths

BLOCK = {
    'norm1': 'norm1',
    'attn.w_msa.proj': 'attn.out',
    'norm2': 'norm2',
    'ffn.layers.0.0': 'mlp.fc1',
    'ffn.layers.1': 'mlp.fc2',
}


class SwinLayout(AdapterLayout):
    """A hierarchical teacher: a layer is a block, counted through all stages.

    Patches stand in raster order; there is no cls token. Where an image or a grid cannot be
    divided, mmpretrain pads it on the right and at the bottom, so a grid is rounded up.
    """

    @classmethod
    def accepts(cls, backbone: Any) -> bool:
        """Whether it is a Swin Transformer of mmpretrain."""
        return isinstance(backbone, SwinTransformer | SwinTransformerV2)

    def layer_paths(self) -> list[str]:
        """Blocks in depth order over all stages, whose output is the residual stream (B, L, D)."""
        return [
            f'stages.{i}.blocks.{j}'
            for i, stage in enumerate(self.backbone.stages)
            for j in range(len(stage.blocks))
        ]

    def layer_dims(self) -> list[int]:
        """Width D of each layer's feature."""
        return [block.ffn.embed_dims for stage in self.backbone.stages for block in stage.blocks]

    def layer_grids(self, image_size: Grid) -> list[Grid]:
        """Patch grid (H, W) of each layer for an image of ``image_size`` (height, width)."""
        grid = _strided(image_size, self.backbone.patch_embed.projection.stride)
        grids = []
        # V1 merges patches behind a stage, V2 in front of it: between two stages either way.
        merges_first = isinstance(self.backbone, SwinTransformerV2)
        for stage in self.backbone.stages:
            merged = _strided(grid, stage.downsample.sampler.stride) if stage.downsample else grid
            grids += [merged if merges_first else grid] * len(stage.blocks)
            grid = merged
        return grids

    def to_canonical(self, tokens: Tensor, grid: Grid) -> tuple[Tensor, None]:
        """Patches (B, L, D) as they are; no cls."""
        return tokens, None

    def mixer_paths(self) -> list[str]:
        """Attention of each block; V2 normalizes its output before adding it."""
        return [f'{path}.attn' for path in self.layer_paths()]

    def mlp_paths(self) -> list[MLPPaths]:
        """Modules around each MLP; the V1's output has the residual stream in it."""
        names = ('norm2', 'ffn', 'ffn.gamma2')
        if isinstance(self.backbone, SwinTransformerV2):
            names = ('ffn', 'ffn', 'norm2')
        return [MLPPaths(*(f'{path}.{name}' for name in names)) for path in self.layer_paths()]

    @property
    def mlp_activation(self) -> str:
        """Name of the MLPs' activation."""
        return type(self.backbone.stages[0].blocks[0].ffn.layers[0][1]).__name__.lower()

    def attention_maps(self) -> list[FeatureSource]:
        """Attention probabilities (B, heads, L, L), 0 between tokens of different windows.

        A row sums to less than 1 where its window has padding, which gets the rest.
        """
        return [
            FeatureSource(
                f'{path}.w_msa.softmax', partial(_join_windows, self.backbone.get_submodule(path))
            )
            for path in self.mixer_paths()
        ]

    def canonical_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights by canonical names.

        Raises:
            UserError: Swin V2, which normalizes behind its branches instead of before them.
        """
        if isinstance(self.backbone, SwinTransformerV2):
            raise UserError(
                'Swin V2 normalizes behind attention and MLP, where no student does, so it cannot '
                'be subcloned: set subcloning=None to distil from it alone.'
            )
        last = len(self.backbone.stages) - 1
        # mmpretrain numbers the norms of the stages that it returns; the last is before the head.
        names: dict[str, str | Stack] = {
            'patch_embed.projection': 'patch_embed',
            'patch_embed.norm': 'patch_norm',
            f'norm{last}': 'norm',
        }
        for layer, path in enumerate(self.layer_paths()):
            names |= {f'{path}.{old}': f'layers.{layer}.{new}' for old, new in BLOCK.items()}
            qkv = Stack(tuple(f'layers.{layer}.attn.{part}' for part in 'qkv'))
            names[f'{path}.attn.w_msa.qkv'] = qkv
        return KeyMap(names).rename(state)


def _strided(grid: Grid, stride: int | Grid) -> Grid:
    rows, cols = (stride, stride) if isinstance(stride, int) else stride
    return ceil(grid[0] / rows), ceil(grid[1] / cols)


def _join_windows(attention: Any, maps: Tensor, grid: Grid) -> Tensor:
    """Attention (B, heads, L, L) over a whole grid, of windows (B * windows, heads, n, n)."""
    tokens = _tokens_of_windows(attention, grid).to(maps.device)  # (windows, n)
    length = grid[0] * grid[1]
    maps = maps.unflatten(0, (-1, len(tokens))).transpose(1, 2)  # (B, heads, windows, n, n)
    joined = maps.new_zeros(*maps.shape[:2], length + 1, length + 1)
    joined[:, :, tokens[:, :, None], tokens[:, None, :]] = maps
    return joined[:, :, :length, :length]  # the last stands for padding


def _tokens_of_windows(attention: Any, grid: Grid) -> LongTensor:
    """Raster index of each token of each window, (windows, n); padding is token L."""
    side, shift = attention.window_size, attention.shift_size
    if min(grid) == side and not attention.pad_small_map:
        shift = 0
    places = torch.arange(grid[0] * grid[1]).view(grid)
    rest = [-size % side for size in grid]
    places = F.pad(places, (0, rest[1], 0, rest[0]), value=places.numel())
    places = places.roll((-shift, -shift), (0, 1))[None, :, :, None]
    return attention.window_partition(places, side).flatten(1)
