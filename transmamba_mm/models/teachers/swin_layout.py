"""The face of a ``TokenBackbone`` on mmpretrain's Swin Transformers."""

from math import ceil

from mmpretrain.models.backbones import SwinTransformer, SwinTransformerV2
from torch import Tensor


class SwinLayout:
    """A hierarchical teacher, V1 or V2: a layer is a block, counted through all stages.

    Patches stand in raster order; there is no cls token and there are no scan directions. Where an
    image or a grid cannot be divided, mmpretrain pads it on the right and at the bottom, so a grid
    is rounded up.

    Args:
        backbone (SwinTransformer | SwinTransformerV2): Any of its sizes.
    """

    def __init__(self, backbone: SwinTransformer | SwinTransformerV2) -> None:
        self.backbone = backbone

    def layer_paths(self) -> list[str]:
        """Blocks in depth order over all stages, whose output is the residual stream (B, L, D)."""
        return [
            f'stages.{i}.blocks.{j}'
            for i, stage in enumerate(self.backbone.stages)
            for j in range(len(stage.blocks))
        ]

    def direction_paths(self) -> list[str]:
        """None: attention looks everywhere in its window at once."""
        return []

    def layer_dims(self) -> list[int]:
        """Width of each layer's feature."""
        return [block.ffn.embed_dims for stage in self.backbone.stages for block in stage.blocks]

    def layer_grids(self, image_size: tuple[int, int]) -> list[tuple[int, int]]:
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

    def to_canonical(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, None]:
        """Patches (B, L, D) as they are; no cls."""
        return tokens, None


def _strided(grid: tuple[int, int], stride: int | tuple[int, int]) -> tuple[int, int]:
    rows, cols = (stride, stride) if isinstance(stride, int) else stride
    return ceil(grid[0] / rows), ceil(grid[1] / cols)
