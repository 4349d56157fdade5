"""VideoMamba: bidirectional Mamba blocks over the patches of a clip (arXiv 2403.06977)."""

from collections.abc import MutableMapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transmamba_mm.checks import COUNT, FLAG, SIDES, checked, one_of
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.bidirectional import NORMS, BidirectionalBackbone
from transmamba_mm.models.backbones.load_positions import fit_positions, log_resizing
from transmamba_mm.models.backbones.patch_embed import patch_grid, resize_positions
from transmamba_mm.models.backbones.token_backbone import STUDENT_RULES, resolve_arch
from transmamba_mm.ops.shapes import same_sizes, shape_of
from transmamba_mm.registry import MODELS

INFLATIONS = ('center', 'mean')
PATCH_KERNEL = 'patch_embed.proj.weight'
TEMPORAL = 'temporal_pos_embed'

ARCHS = {
    'nano': {'embed_dims': 64, 'num_layers': 6, 'state_dims': 8},
    'tiny': {'embed_dims': 192, 'num_layers': 24, 'state_dims': 16},
    'small': {'embed_dims': 384, 'num_layers': 24, 'state_dims': 16},
    'middle': {'embed_dims': 576, 'num_layers': 32, 'state_dims': 16},
}


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
        patches = patch_grid((height, width), self.patch_size, self.patch_size)
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
        inflate (str): 'center' uses frame T // 2 alone, 'mean' all frames equally.
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


@MODELS.register_module()
class VideoMamba(BidirectionalBackbone):
    """VideoMamba, for images and clips.

    The sequence is the cls token, then the patches frame by frame, each frame in raster order.
    Convolutions and scans run over all of it, both ways; their sum is not divided by 2.

    Wherever a size or a grid is asked for, an image is (H, W) and a clip (T, H, W), in pixels and
    frames or in patches and tubelets. ``layer_grids((8, 224, 224))`` is (8, 14, 14) for each layer;
    ``to_canonical(tokens, (8, 14, 14))`` gives all patches frame by frame, so that
    ``patches.unflatten(1, (8, 14 * 14))`` are those of each frame. An image is a still clip: its
    tokens are those of a single tubelet, and its grid stays (H, W).

    Weights of an image model (with a 2-D patch kernel and no positions in time) load as they are,
    inflated by ``inflate``.

    Args:
        arch (str | dict): 'nano', 'tiny', 'small' or 'middle', or a dict with ``embed_dims``,
            ``num_layers`` and ``state_dims``.
        img_size (int | tuple[int, int]): (height, width) that the positions are made for; other
            sizes are accepted at run time and interpolate them.
        num_frames (int): Frames of a clip that the positions in time are made for; others are
            accepted at run time and interpolate them, an image too.
        patch_size (int): Side of a patch, pixels.
        tubelet_size (int): Frames that share a token, the official ``kernel_size``.
        in_channels (int): Channels of a frame.
        out_indices (int | Sequence[int]): Layers whose features are returned.
        out_type (str): 'cls_token' (B, D), the released recipe; 'avg_featmap' (B, D) over all
            patches; 'featmap' (B, D, T, H, W), for an image (B, D, H, W); 'raw' (B, tokens, D).
        expand, dt_rank, conv_width: See :class:`BidirectionalMamba`.
        norm (str): 'rms' (released recipe) or 'layer'.
        drop_path_rate (float): Stochastic depth of the last block; grows linearly from 0.
        final_norm (bool): Normalize the last layer's feature.
        inflate (str): 'center' or 'mean'; see :func:`inflate_kernel`.
        frozen_stages, norm_eval, with_cp: See :meth:`finish_construction`.
        init_cfg (dict, optional): See mmengine's ``BaseModule``.

    Returns:
        tuple[Tensor]: One feature per entry of ``out_indices``.

    Raises:
        UserError: Unknown arch, output type, norm or inflation; images or clips that patches do not
            cover; inputs of another shape.
    """

    takes_clips = True

    @checked(
        **STUDENT_RULES,
        img_size=SIDES,
        expand=COUNT,
        num_frames=COUNT,
        tubelet_size=COUNT,
        inflate=one_of(*INFLATIONS),
        norm=one_of(*NORMS),
        final_norm=FLAG,
    )
    def __init__(
        self,
        arch: str | dict = 'tiny',
        img_size: int | tuple[int, int] = 224,
        num_frames: int = 8,
        patch_size: int = 16,
        tubelet_size: int = 1,
        in_channels: int = 3,
        out_indices: int | Sequence[int] = -1,
        out_type: str = 'cls_token',
        expand: int = 2,
        dt_rank: int | None = None,
        conv_width: int = 4,
        norm: str = 'rms',
        drop_path_rate: float = 0.0,
        final_norm: bool = True,
        inflate: str = 'center',
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        arch = resolve_arch(arch, ARCHS)
        self.embed_dims = arch['embed_dims']
        self.num_layers = arch['num_layers']
        self.img_size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        self.num_frames = num_frames
        self.inflate = inflate
        self.out_type = out_type
        self.out_indices = self.resolve_indices(out_indices)

        self.patch_embed = TubeletEmbed(in_channels, self.embed_dims, patch_size, tubelet_size)
        tubelets, height, width = self.patch_grid((num_frames, *self.img_size))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))
        self.pos_embed = nn.Parameter(torch.zeros(1, height * width + 1, self.embed_dims))
        self.temporal_pos_embed = nn.Parameter(torch.zeros(1, tubelets, self.embed_dims))
        self.stack_blocks(
            arch['state_dims'],
            norm,
            drop_path_rate,
            final_norm,
            expand=expand,
            dt_rank=dt_rank,
            conv_width=conv_width,
            average_directions=False,
        )
        self.finish_construction(frozen_stages, norm_eval, with_cp)
        self.register_load_state_dict_pre_hook(type(self).fit_state_dict)

    @property
    def num_extra_tokens(self) -> int:
        """Tokens in front of the patches: the cls token."""
        return 1

    @property
    def tubelet_size(self) -> int:
        """Frames that share a token."""
        return self.patch_embed.tubelet_size

    def fit_state_dict(self, state_dict: dict[str, Tensor], prefix: str = '', *_) -> None:
        """Make the weights of an image model, another image size or clip length fit this model."""
        num_tubelets = self.temporal_pos_embed.shape[1]
        inflate_image_weights(state_dict, prefix, self.tubelet_size, num_tubelets, self.inflate)
        grid = self.patch_grid(self.img_size)
        fit_positions(state_dict, f'{prefix}pos_embed', self.pos_embed, grid, lambda _: [0])
        time = f'{prefix}{TEMPORAL}'
        if time in state_dict and state_dict[time].shape[2:] == self.temporal_pos_embed.shape[2:]:
            given = state_dict[time].shape[1]
            if given != num_tubelets:
                state_dict[time] = resize_temporal_positions(state_dict[time], num_tubelets)
                log_resizing(time, (given,), (num_tubelets,))

    def init_weights(self) -> None:
        """Initialize as Vim; positions in time start at zero, as in the official code."""
        nn.init.zeros_(self.temporal_pos_embed)
        super().init_weights()

    def patch_grid(self, image_size: tuple[int, ...]) -> tuple[int, ...]:
        """Grid (H, W) of an image (height, width), (T, H, W) of a clip (frames, height, width)."""
        return self.patch_embed.grid(image_size)

    def to_canonical(self, tokens: Tensor, grid: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Split (B, tokens, D) into patches frame by frame (B, T * H * W, D) and cls (B, D)."""
        return tokens[:, 1:], tokens[:, 0]

    def positions(self, grid: tuple[int, ...]) -> Tensor:
        """Position embeddings (1, tokens, D) of the sequence over ``grid``."""
        *tubelets, height, width = grid
        source = self.patch_grid(self.img_size)
        space = resize_positions(self.pos_embed, source, (height, width), [0], [0])
        time = resize_temporal_positions(self.temporal_pos_embed, *(tubelets or [1]))
        patches = space[:, None, 1:] + time[:, :, None]  # (1, T, H * W, D)
        return torch.cat([space[:, :1], patches.flatten(1, 2)], dim=1)

    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Tokens (B, tokens, D) of images or clips, positions added, and their grid."""
        if images.dim() not in (4, 5):
            raise UserError(
                'VideoMamba takes images (B, C, H, W) or clips (B, C, T, H, W), not inputs of '
                f'shape {tuple(images.shape)}.'
            )
        grid = self.patch_grid(shape_of(images)[2:])
        patches = self.patch_embed(images)  # (B, L, D)
        tokens = torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], dim=1)
        return tokens + self.positions(grid), grid
