"""Bring what belongs to one patch grid onto another: features, positions, patch kernels."""

import torch
import torch.nn.functional as F
from torch import Tensor


def to_grid(patches: Tensor, grid: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """Resample patch features to another grid.

    Bilinear with ``align_corners=False``; where the grid shrinks, the filter widens with it
    (antialiasing), which averages areas instead of dropping patches.

    Args:
        patches (Tensor): (B, L, D) in raster order, L = H * W.
        grid (tuple[int, int]): Their grid (H, W).
        target (tuple[int, int]): Wanted grid (H', W').

    Returns:
        Tensor: (B, H' * W', D); ``patches`` itself when the grids are equal.

    Raises:
        ValueError: L is not H * W.
    """
    if patches.shape[1] != grid[0] * grid[1]:
        raise ValueError(f'{patches.shape[1]} patches do not fill a grid of {grid[0]}x{grid[1]}.')
    if tuple(grid) == tuple(target):
        return patches
    image = patches.transpose(1, 2).unflatten(2, tuple(grid))  # (B, D, H, W)
    # The antialiased filter knows no half precision on CPUs.
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    image = F.interpolate(image, tuple(target), mode='bilinear', antialias=True)
    return image.flatten(2).transpose(1, 2).to(patches.dtype)


def resize_kernel(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize the kernel of a patch embedding so that flat patches still look the same.

    The kernel is resized bicubically as an image and scaled by the ratio of areas, since it is
    summed over its pixels. What bicubic weights miss of each filter's sum is spread evenly over
    its pixels, so the response to a patch of constant color is exactly that of the old kernel.

    Args:
        kernel (Tensor): (D, C, h, w).
        size (tuple[int, int]): Wanted (h', w').

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
