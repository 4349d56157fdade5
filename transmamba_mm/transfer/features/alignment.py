"""Resize features, positions and patch kernels from one patch grid to another."""

from collections.abc import Sequence
from math import isqrt, prod

import torch
import torch.nn.functional as F
from torch import Tensor


def to_grid(patches: Tensor, grid: Sequence[int], target: Sequence[int]) -> Tensor:
    """Resample patch features to another grid.

    Bilinear with ``align_corners=False``; where the grid shrinks, the filter widens with it
    (antialiasing), which averages areas instead of dropping patches. Of a clip, each frame is
    resampled in space, then each pixel in time, linearly.

    Args:
        patches (Tensor): (B, L, D) in raster order, L = H * W; of a clip frame by frame,
            L = T * H * W.
        grid (Sequence[int]): Their grid, (H, W) or (T, H, W).
        target (Sequence[int]): Target grid, (H', W') or (T', H', W').

    Returns:
        Tensor: (B, H' * W', D) or (B, T' * H' * W', D); ``patches`` itself when the grids are
        equal.

    Raises:
        ValueError: L is not the size of the grid, or one grid is of an image, the other of a clip.
    """
    if patches.shape[1] != prod(grid):
        size = 'x'.join(map(str, grid))
        raise ValueError(f'{patches.shape[1]} patches do not fill a grid of {size}.')
    if len(grid) != len(target):
        raise ValueError(f'The grids {tuple(grid)} and {tuple(target)} cannot be compared.')
    if tuple(grid) == tuple(target):
        return patches
    if len(grid) == 3:
        num_frames, pixels = grid[0], target[1] * target[2]
        frames = patches.unflatten(1, (num_frames, -1)).flatten(0, 1)  # (B * T, H * W, D)
        frames = to_grid(frames, grid[1:], target[1:])
        patches = frames.unflatten(0, (-1, num_frames)).flatten(1, 2)
        return to_grid(patches, (num_frames, pixels), (target[0], pixels))
    image = patches.transpose(1, 2).unflatten(2, tuple(grid))  # (B, D, H, W)
    # The antialiased filter does not support half precision on CPUs.
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    image = F.interpolate(image, tuple(target), mode='bilinear', antialias=True)
    return image.flatten(2).transpose(1, 2).to(patches.dtype)


def resize_kernel(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize the kernel of a patch embedding so that flat patches keep their embeddings.

    The kernel is resized bicubically as an image and scaled by the ratio of areas, since it is
    summed over its pixels. What bicubic weights miss of each filter's sum is spread evenly over
    its pixels, so the response to a patch of constant color is exactly that of the old kernel.

    Args:
        kernel (Tensor): (D, C, h, w).
        size (tuple[int, int]): Target (h', w').

    Returns:
        Tensor: (D, C, h', w'); ``kernel`` itself when the sizes are equal.
    """
    if tuple(kernel.shape[-2:]) == tuple(size):
        return kernel
    area = size[0] * size[1]
    resized = F.interpolate(kernel, tuple(size), mode='bicubic', antialias=True)
    resized = resized * (kernel[0, 0].numel() / area)
    missing = kernel.sum((-2, -1), keepdim=True) - resized.sum((-2, -1), keepdim=True)
    return resized + missing / area


def split_positions(
    positions: Tensor, num_cls: int, grid: tuple[int, int] | None
) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Take a Transformer's position embeddings apart: cls entries first, then a grid of patches.

    Args:
        positions (Tensor): (1, entries, D).
        num_cls (int): Tokens in front of the patches; some models give them no position.
        grid (tuple[int, int], optional): The patch grid (H, W), a square one by default.

    Returns:
        tuple[Tensor, Tensor, tuple[int, int]]: Of the cls tokens (1, num_cls or 0, D), of the
        patches (1, H * W, D), and (H, W).

    Raises:
        ValueError: The entries are not those of such a grid.
    """
    entries = positions.shape[1]
    for num_extra in (num_cls, 0):
        num_patches = entries - num_extra
        side = isqrt(max(num_patches, 0))
        rows, cols = grid or (side, side)
        if num_patches == rows * cols:
            return positions[:, :num_extra], positions[:, num_extra:], (rows, cols)
    raise ValueError(f'{entries} positions are not {num_cls} cls tokens and a grid of patches.')
