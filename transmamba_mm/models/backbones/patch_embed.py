"""Images to patch tokens, and positions that follow a change of grid."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.ops.shapes import same_sizes


class PatchEmbed(nn.Module):
    """A strided convolution: (B, C, H, W) -> (B, L, D), patches in raster order.

    Args:
        in_channels (int): Channels C of the image.
        embed_dims (int): Model width D.
        patch_size (int): Side of a patch, pixels.
        patch_stride (int, optional): Step between patches; smaller than the patch, they overlap.
    """

    def __init__(
        self, in_channels: int, embed_dims: int, patch_size: int, patch_stride: int | None = None
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.patch_stride = patch_stride or patch_size
        self.proj = nn.Conv2d(in_channels, embed_dims, patch_size, self.patch_stride)

    def grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Patch grid (H, W) of an image of ``image_size`` (height, width) pixels.

        Raises:
            UserError: If patches do not cover the image exactly, naming a size that would do.
        """
        return patch_grid(image_size, self.patch_size, self.patch_stride)

    def forward(self, images: Tensor) -> Tensor:
        """Embed (B, C, H, W) into (B, L, D)."""
        return self.proj(images).flatten(2).transpose(1, 2)


def patch_grid(image_size: tuple[int, int], patch_size: int, patch_stride: int) -> tuple[int, int]:
    """Patch grid (H, W) that covers an image of ``image_size`` pixels exactly; else UserError."""

    def count(side: int) -> int:
        # Not divmod, which torch.export's symbols do not have.
        steps, rest = (side - patch_size) // patch_stride, (side - patch_size) % patch_stride
        if steps < 0 or rest:
            fits = patch_size + max(steps, 0) * patch_stride
            raise UserError(
                f'An image of {image_size[0]}x{image_size[1]} pixels is not covered by patches of '
                f'{patch_size} at stride {patch_stride}: use a side of {fits} or '
                f'{fits + patch_stride} pixels (img_size, and the Resize or Crop of the '
                'pipeline), or change patch_size / patch_stride.'
            )
        return steps + 1

    rows, cols = (count(side) for side in image_size)
    return rows, cols


def resize_positions(
    positions: Tensor,
    source: tuple[int, int],
    target: tuple[int, int],
    source_cls: list[int],
    target_cls: list[int],
) -> Tensor:
    """Carry position embeddings (1, tokens, D) from one patch grid to another.

    Patch entries are resized bicubically (``align_corners=False``); the entries of cls tokens move
    unchanged from their places ``source_cls`` in the old sequence to ``target_cls`` in the new one.
    Vim's official code takes entry 0 for the cls token even when it sits in the middle; that shifts
    half of the grid by one patch, and is not what we do.

    Args:
        positions (Tensor): (1, H * W + cls tokens, D).
        source, target (tuple[int, int]): Grids (H, W).
        source_cls, target_cls (list[int]): Places of the cls tokens, ascending, equally many.

    Returns:
        Tensor: (1, H' * W' + cls tokens, D), in the dtype of ``positions``.
    """
    if same_sizes((*source, *source_cls), (*target, *target_cls)):
        return positions
    total = positions.shape[1]
    is_patch = torch.ones(total, dtype=torch.bool, device=positions.device)
    is_patch[source_cls] = False
    patches = positions[:, is_patch]  # (1, H * W, D)
    if not same_sizes(source, target):
        image = patches.transpose(1, 2).unflatten(2, tuple(source))  # (1, D, H, W)
        image = F.interpolate(image, size=tuple(target), mode='bicubic', align_corners=False)
        patches = image.flatten(2).transpose(1, 2)
    return insert_tokens(patches, positions[:, ~is_patch], target_cls)


def insert_tokens(patches: Tensor, extra: Tensor, places: list[int]) -> Tensor:
    """Put ``extra`` (B, n, D) among ``patches`` (B, L, D), at ``places`` of the final sequence.

    Args:
        places (list[int]): n ascending indices into the sequence of L + n tokens.
    """
    pieces, start = [], 0
    for i, place in enumerate(places):
        end = place - i  # patches that stand before this extra token
        pieces += [patches[:, start:end], extra[:, i : i + 1]]
        start = end
    return torch.cat([*pieces, patches[:, start:]], dim=1)
