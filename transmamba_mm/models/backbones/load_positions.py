"""Positions of another image size or clip length, resized while a checkpoint is loaded."""

import math
from collections.abc import Callable, MutableMapping

from mmengine.logging import MMLogger
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.patch_embed import resize_positions


def fit_positions(
    state_dict: MutableMapping[str, Tensor],
    key: str,
    own: Tensor,
    grid: tuple[int, int],
    cls_index: Callable[[int], list[int]],
) -> None:
    """Resize the positions (1, tokens, D) at ``key`` of a state dict to those of a model.

    Nothing happens to positions that are as many as the model's, or of another width.

    Args:
        state_dict (MutableMapping): About to be loaded; changed in place.
        key (str): Where the positions are, if at all.
        own (Tensor): The model's positions.
        grid (tuple[int, int]): Patch grid (H, W) of ``own``.
        cls_index (Callable): Places of the cls tokens in the sequence, for a number of patches.

    Raises:
        UserError: Positions of a grid that is neither square nor of the model's aspect ratio.
    """
    given = state_dict.get(key)
    if given is None or given.dim() != 3 or given.shape[2] != own.shape[2]:
        return
    if given.shape[1] == own.shape[1]:
        return
    places = cls_index(grid[0] * grid[1])
    count = given.shape[1] - len(places)
    source = _source_grid(count, grid)
    if source is None:
        raise UserError(
            f'{key} has {count} patch entries: neither a square grid nor one of the shape '
            f'{grid[0]}x{grid[1]} that the model is built for. Give the img_size, patch_stride and '
            'cls_position that the checkpoint was trained with.'
        )
    state_dict[key] = resize_positions(given, source, grid, cls_index(count), places)
    log_resizing(key, source, grid)


def log_resizing(key: str, source: tuple[int, ...], target: tuple[int, ...]) -> None:
    """Log that the positions at ``key`` were resized from one grid to another."""
    before, after = ('x'.join(map(str, grid)) for grid in (source, target))
    MMLogger.get_current_instance().info(f'{key} resized from {before} to {after}.')


def _source_grid(count: int, target: tuple[int, int]) -> tuple[int, int] | None:
    """The square grid of ``count`` patches, else the one of the aspect ratio of ``target``."""
    rows, cols = target
    for height in (math.isqrt(max(count, 0)), math.isqrt(max(count, 0) * rows // cols)):
        if height and count % height == 0:
            width = count // height
            if width == height or width * rows == height * cols:
                return height, width
    return None
