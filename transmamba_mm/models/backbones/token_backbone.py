"""The face that every student backbone shows to a transfer."""

from abc import abstractmethod

from mmpretrain.models.backbones.base_backbone import BaseBackbone
from torch import LongTensor, Tensor


class TokenBackbone(BaseBackbone):
    """A backbone whose layers hand on tokens, and that can say in which order it scans them.

    It knows nothing about teachers. What it adds to mmpretrain's contract is a common language:
    the *canonical order* (patches in raster order, cls apart) in which any two models compare.

    Paths are relative to the backbone. Subclasses hold their residual blocks in ``blocks``, each
    with a ``mixer`` that has a :class:`~transmamba_mm.models.mixers.DirectionTap` named ``tap``.
    """

    embed_dims: int
    num_layers: int

    def layer_paths(self) -> list[str]:
        """Modules, in depth order, whose output is the residual stream (B, tokens, D)."""
        return [f'blocks.{i}' for i in range(self.num_layers)]

    def direction_paths(self) -> list[str]:
        """Modules, one per layer, whose output is the direction feature (B, K, tokens, D)."""
        return [f'blocks.{i}.mixer.tap' for i in range(self.num_layers)]

    def layer_dims(self) -> list[int]:
        """Width of each layer's feature."""
        return [self.embed_dims] * self.num_layers

    def layer_grids(self, image_size: tuple[int, int]) -> list[tuple[int, int]]:
        """Patch grid (H, W) of each layer for an image of ``image_size`` (height, width)."""
        return [self.patch_grid(image_size)] * self.num_layers

    def train(self, mode: bool = True) -> 'TokenBackbone':
        """Set the mode and return self, as torch does (mmpretrain's base returns None)."""
        super().train(mode)
        return self

    @abstractmethod
    def patch_grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Patch grid (H, W) right after the patch embedding; UserError if it would be empty."""

    @abstractmethod
    def directions(self, grid: tuple[int, int]) -> LongTensor:
        """Traversals (K, L) of the L = H * W canonical patches of ``grid``; each a permutation."""

    @abstractmethod
    def to_canonical(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Split (B, tokens, D) into patches in raster order (B, L, D) and cls (B, D) or None."""
