"""VideoMamba: bidirectional Mamba blocks over the patches of a clip (arXiv 2403.06977)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from transmamba_mm.checks import COUNT, FLAG, SIDES, checked, one_of
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.bidirectional import NORMS, BidirectionalBackbone
from transmamba_mm.models.backbones.load_positions import fit_positions, log_resizing
from transmamba_mm.models.backbones.patch_embed import resize_positions
from transmamba_mm.models.backbones.token_backbone import STUDENT_RULES, resolve_arch
from transmamba_mm.models.backbones.videomamba_parts import (
    INFLATIONS,
    TEMPORAL,
    TubeletEmbed,
    inflate_image_weights,
    resize_temporal_positions,
)
from transmamba_mm.ops.shapes import shape_of
from transmamba_mm.registry import MODELS

ARCHS = {
    'nano': {'embed_dims': 64, 'num_layers': 6, 'state_dims': 8},
    'tiny': {'embed_dims': 192, 'num_layers': 24, 'state_dims': 16},
    'small': {'embed_dims': 384, 'num_layers': 24, 'state_dims': 16},
    'middle': {'embed_dims': 576, 'num_layers': 32, 'state_dims': 16},
}


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
    inflated as ``inflate`` says.

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
