"""Fit what is of images: patches, cls tokens, positions on a grid."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from transmamba_mm.models.backbones.patch_embed import insert_tokens, resize_positions
from transmamba_mm.models.backbones.videomamba import inflate_kernel
from transmamba_mm.transfer.features.alignment import resize_kernel, split_positions
from transmamba_mm.transfer.subcloning.fitted_tensor import FittedTensor
from transmamba_mm.transfer.subcloning.rules import Axis


class GridFitter:
    """Fits patches and positions of a teacher to the grid of a student.

    Args:
        layout (Any): Of the student; gives the positions of patches and cls tokens.
        grid (tuple[int, int], optional): Of the teacher's patches, if it has one.
        num_cls (int): The teacher's cls tokens.
    """

    def __init__(self, layout: Any, grid: tuple[int, int] | None, num_cls: int) -> None:
        self.layout, self.grid, self.num_cls = layout, grid, num_cls

    def fit_patch(self, fitted: FittedTensor) -> None:
        """Resize the kernel of a patch; for clips let it see the center frame of a tubelet."""
        old, new = fitted.value.shape[-2:], fitted.target.shape[-2:]
        if old != new:
            fitted.value = resize_kernel(fitted.value, (new[0], new[1]))
            fitted.note('resized', f'patch {_times(old)} to {_times(new)}')
        if Axis.FRAMES in fitted.rule.axes:
            frames = fitted.target.shape[fitted.rule.axes.index(Axis.FRAMES)]
            fitted.value = inflate_kernel(fitted.value, frames, 'center')
            if frames > 1:
                fitted.note('resized', f'to frame {frames // 2 + 1} of {frames}, the others 0')

    def fit_positions(self, fitted: FittedTensor) -> None:
        """Move cls entries (1, tokens, D) to the student's places, and resize the grid."""
        target = self.layout.patch_grid(self.layout.img_size)
        places = self._cls_places(fitted.target.shape[1], target)
        as_many = fitted.value.shape[1] - self.num_cls == target[0] * target[1]
        try:
            cls, patches, grid = split_positions(
                fitted.value, self.num_cls, self.grid or (target if as_many else None)
            )
        except ValueError as error:
            raise fitted.misfit(str(error)) from error
        if grid != target:
            patches = resize_positions(patches, grid, target, [], [])
            fitted.note('resized', f'grid {_times(grid)} to {_times(target)}')
        if not places or not cls.shape[1]:
            tokens = range(fitted.target.shape[1])
            fitted.region[1] = [token for token in tokens if token not in places]
            fitted.value = patches
            return
        cls = share_cls(cls, len(places))
        fitted.value = insert_tokens(patches, cls, places)
        fitted.notes.append(f'cls to entry {", ".join(map(str, places))}')

    def _cls_places(self, num_tokens: int, grid: tuple[int, int]) -> list[int]:
        """Positions of the cls tokens among ``num_tokens``: those without a patch."""
        tokens = torch.arange(num_tokens, dtype=torch.float64).view(1, -1, 1)
        patches, _ = self.layout.to_canonical(tokens, grid)
        return sorted(set(range(num_tokens)) - {int(place) for place in patches.flatten()})


def share_cls(cls: Tensor, count: int) -> Tensor:
    """One of the teacher's cls tokens (1, n, D) for each of ``count``; the last may repeat."""
    return cls[:, [min(i, cls.shape[1] - 1) for i in range(count)]]


def _times(sizes: Sequence[int]) -> str:
    return 'x'.join(map(str, sizes))
