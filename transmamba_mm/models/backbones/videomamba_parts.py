"""Clips to tokens, positions in time, and weights of image models made to see clips."""

from collections.abc import MutableMapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.patch_embed import cover
from transmamba_mm.ops.shapes import same_sizes, shape_of

INFLATIONS = ('center', 'mean')
PATCH_KERNEL = 'patch_embed.proj.weight'
TEMPORAL = 'temporal_pos_embed'


class TubeletEmbed(nn.Module):
    """A strided convolution over space and time: clips (B, C, T, H, W) to tokens (B, L, D).

    Tokens come frame by frame, the patches of a frame in raster order. An image (B, C, H, W) is a
    still of one tubelet: its only frame is repeated ``tubelet_size`` times.

    Args:
        in_channels (int): Channels C of a frame.
        embed_dims (int): Model width D.
        patch_size (int): Side of a patch, pixels.
        tubelet_size (int): Frames in a tubelet.
    """

    def __init__(
        self, in_channels: int, embed_dims: int, patch_size: int, tubelet_size: int
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.tubelet_size = tubelet_size
        kernel = (tubelet_size, patch_size, patch_size)
        self.proj = nn.Conv3d(in_channels, embed_dims, kernel, stride=kernel)

    def grid(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Grid (H, W) of an image (height, width), (T, H, W) of a clip (frames, height, width).

        Raises:
            UserError: If tubelets do not cover the image or clip exactly.
        """
        *frames, height, width = size
        patches = cover((height, width), self.patch_size, self.patch_size)
        return (*(self.count_tubelets(count) for count in frames), *patches)

    def count_tubelets(self, frames: int) -> int:
        """Tubelets of a clip; UserError if they do not cover all ``frames``."""
        tubelets, rest = frames // self.tubelet_size, frames % self.tubelet_size
        if not tubelets or rest:
            fits = max(tubelets, 1) * self.tubelet_size
            raise UserError(
                f'A clip of {frames} frames is not covered by tubelets of {self.tubelet_size}: use '
                f'{fits} or {fits + self.tubelet_size} frames (num_frames, and the sampling of the '
                'pipeline), or change tubelet_size.'
            )
        return tubelets

    def forward(self, images: Tensor) -> Tensor:
        """Embed (B, C, T, H, W) or (B, C, H, W) into (B, L, D)."""
        if images.dim() == 4:
            images = images.unsqueeze(2).expand(-1, -1, self.tubelet_size, -1, -1)
        return self.proj(images).flatten(2).transpose(1, 2)


def resize_temporal_positions(positions: Tensor, length: int) -> Tensor:
    """Positions in time (1, T, D) for another number of tubelets: linear in time, (1, T', D)."""
    if same_sizes(shape_of(positions)[1:2], (length,)):
        return positions
    resized = F.interpolate(
        positions.transpose(1, 2), size=length, mode='linear', align_corners=False
    )
    return resized.transpose(1, 2)


def inflate_kernel(kernel: Tensor, tubelet_size: int, inflate: str) -> Tensor:
    """Patch kernel of an image model (D, C, H, W) for tubelets: (D, C, T, H, W).

    Either way a still gives what the image gave.

    Args:
        kernel (Tensor): Of a 2-D convolution.
        tubelet_size (int): Frames T of a tubelet.
        inflate (str): 'center' looks at the frame T // 2 alone, 'mean' at all of them equally.
    """
    if inflate == 'mean':
        return (kernel / tubelet_size).unsqueeze(2).repeat(1, 1, tubelet_size, 1, 1)
    inflated = kernel.new_zeros(*kernel.shape[:2], tubelet_size, *kernel.shape[2:])
    inflated[:, :, tubelet_size // 2] = kernel
    return inflated


def inflate_image_weights(
    state_dict: MutableMapping[str, Tensor],
    prefix: str,
    tubelet_size: int,
    num_tubelets: int,
    inflate: str,
) -> None:
    """Change the weights of an image model in place into those of a clip model.

    An image model is known by its 2-D patch kernel; other weights stay as they are. It has no
    positions in time; zeros stand for them.

    Args:
        state_dict (MutableMapping): Weights of a VideoMamba, its keys behind ``prefix``.
        prefix (str): Such as ``'backbone.'``.
        tubelet_size, num_tubelets (int): Frames of a tubelet, and tubelets of the model's clips.
        inflate (str): See :func:`inflate_kernel`.
    """
    kernel = state_dict.get(prefix + PATCH_KERNEL)
    if kernel is None or kernel.dim() != 4:
        return
    state_dict[prefix + PATCH_KERNEL] = inflate_kernel(kernel, tubelet_size, inflate)
    zeros = torch.zeros(1, num_tubelets, len(kernel), dtype=kernel.dtype, device=kernel.device)
    state_dict.setdefault(prefix + TEMPORAL, zeros)
