"""Vim: a plain vision backbone of bidirectional Mamba blocks (arXiv 2401.09417)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from transmamba_mm.checks import COUNT, FLAG, SIDES, checked, one_of
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.bidirectional import NORMS, BidirectionalBackbone
from transmamba_mm.models.backbones.load_positions import fit_positions
from transmamba_mm.models.backbones.patch_embed import (
    PatchEmbed,
    insert_tokens,
    resize_positions,
)
from transmamba_mm.models.backbones.token_backbone import (
    STUDENT_RULES,
    resolve_arch,
)
from transmamba_mm.ops.shapes import shape_of
from transmamba_mm.registry import MODELS

ARCHS = {
    'nano': {'embed_dims': 64, 'num_layers': 6, 'state_dims': 8},
    'micro': {'embed_dims': 96, 'num_layers': 8, 'state_dims': 4},
    'tiny': {'embed_dims': 192, 'num_layers': 24, 'state_dims': 16},
    'small': {'embed_dims': 384, 'num_layers': 24, 'state_dims': 16},
    'base': {'embed_dims': 768, 'num_layers': 24, 'state_dims': 16},
}
CLS_POSITIONS = ('middle', 'first', 'both', 'none')


@MODELS.register_module()
class Vim(BidirectionalBackbone):
    """Vision Mamba.

    Args:
        arch (str | dict): 'nano', 'micro', 'tiny', 'small' or 'base', or a dict with
            ``embed_dims``, ``num_layers`` and ``state_dims``.
        img_size (int | tuple[int, int]): (height, width) that the positions are made for; other
            sizes are accepted at run time and interpolate them.
        patch_size (int): Side of a patch, pixels.
        patch_stride (int, optional): Step between patches, ``patch_size`` by default.
        in_channels (int): Channels of the image.
        out_indices (int | Sequence[int]): Layers whose features are returned.
        out_type (str): 'cls_token' (B, D), 'avg_featmap' (B, D), 'featmap' (B, D, H, W) or 'raw'
            (B, tokens, D) in the order of the sequence. By default 'cls_token' where there is one,
            else 'avg_featmap'.
        cls_position (str): 'middle' (index L // 2 of the sequence, the released recipe), 'first',
            'both' (first and last, averaged) or 'none'.
        average_directions (bool): Divide the sum of both directions by 2 (released recipe).
        shared_projections (bool): Vim's older mixer, bimamba v1.
        expand, dt_rank, conv_width: See :class:`BidirectionalMamba`.
        norm (str): 'rms' (released recipe) or 'layer'.
        drop_path_rate (float): Stochastic depth of the last block; grows linearly from 0.
        final_norm (bool): Normalize the last layer's feature.
        frozen_stages, norm_eval, with_cp: See :meth:`finish_construction`.
        init_cfg (dict, optional): See mmengine's ``BaseModule``.

    Returns:
        tuple[Tensor]: One feature per entry of ``out_indices``.

    Raises:
        UserError: Unknown arch, cls position or output type; an image patches do not cover.
    """

    @checked(
        **STUDENT_RULES,
        img_size=SIDES,
        expand=COUNT,
        patch_stride=COUNT,
        cls_position=one_of(*CLS_POSITIONS),
        norm=one_of(*NORMS),
        final_norm=FLAG,
        average_directions=FLAG,
        shared_projections=FLAG,
    )
    def __init__(
        self,
        arch: str | dict = 'tiny',
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        patch_stride: int | None = None,
        in_channels: int = 3,
        out_indices: int | Sequence[int] = -1,
        out_type: str | None = None,
        cls_position: str = 'middle',
        average_directions: bool = True,
        shared_projections: bool = False,
        expand: int = 2,
        dt_rank: int | None = None,
        conv_width: int = 4,
        norm: str = 'rms',
        drop_path_rate: float = 0.0,
        final_norm: bool = True,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        arch = resolve_arch(arch, ARCHS)
        out_type = out_type or ('avg_featmap' if cls_position == 'none' else 'cls_token')
        if out_type == 'cls_token' and cls_position == 'none':
            raise UserError("out_type='cls_token' needs a cls token, but cls_position is 'none'.")
        self.embed_dims = arch['embed_dims']
        self.num_layers = arch['num_layers']
        self.img_size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        self.cls_position = cls_position
        self.out_type = out_type
        self.out_indices = self.resolve_indices(out_indices)

        self.patch_embed = PatchEmbed(in_channels, self.embed_dims, patch_size, patch_stride)
        height, width = self.patch_grid(self.img_size)
        num_cls = len(self.cls_index(height * width))
        if num_cls:
            self.cls_token = nn.Parameter(torch.zeros(1, num_cls, self.embed_dims))
        self.pos_embed = nn.Parameter(torch.zeros(1, height * width + num_cls, self.embed_dims))
        self.stack_blocks(
            arch['state_dims'],
            norm,
            drop_path_rate,
            final_norm,
            expand=expand,
            dt_rank=dt_rank,
            conv_width=conv_width,
            average_directions=average_directions,
            shared_projections=shared_projections,
        )
        self.finish_construction(frozen_stages, norm_eval, with_cp)
        self.register_load_state_dict_pre_hook(type(self).fit_positions)

    @property
    def patch_stride(self) -> int:
        """Step between patches, pixels."""
        return self.patch_embed.patch_stride

    def patch_grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Patch grid (H, W) of an image of ``image_size`` (height, width) pixels."""
        return self.patch_embed.grid(image_size)

    def cls_index(self, num_patches: int) -> list[int]:
        """Places of the cls tokens in the sequence of ``num_patches`` patches and them."""
        return {
            'middle': [num_patches // 2],
            'first': [0],
            'both': [0, num_patches + 1],
            'none': [],
        }[self.cls_position]

    def __dir__(self) -> list[str]:
        """Leave out what may raise: torch.jit.trace reads every name that is listed."""
        return [name for name in super().__dir__() if name != 'num_extra_tokens']

    @property
    def num_extra_tokens(self) -> int:
        """Tokens in front of the patches.

        Raises:
            UserError: They are not in front, as mmpretrain's ``vis_cam --vit-like`` takes for
                granted.
        """
        if self.cls_position in ('middle', 'both'):
            raise UserError(
                f'cls_position={self.cls_position!r}: the cls token is not in front of the '
                'patches. For a class activation map use the target layer backbone.cam, the '
                'default of vis_cam without --vit-like.'
            )
        return 1 if self.cls_position == 'first' else 0

    def to_canonical(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Split (B, tokens, D) into raster patches (B, H * W, D) and cls (B, D), or None."""
        places = self.cls_index(grid[0] * grid[1])
        if not places:
            return tokens, None
        pieces, start = [], 0
        for place in places:
            pieces.append(tokens[:, start:place])
            start = place + 1
        # narrow, not an index: torch.compile would make a graph for every place
        cls = torch.cat([tokens.narrow(1, place, 1) for place in places], dim=1).mean(dim=1)
        return torch.cat([*pieces, tokens[:, start:]], dim=1), cls

    def run_mixer(
        self,
        layer: int,
        patches: Tensor,
        cls: Tensor | None,
        grid: tuple[int, int],
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Run the mixer of a layer on tokens, the cls token at its position in the sequence."""
        places = [] if cls is None else self.cls_index(patches.shape[1])
        tokens = patches
        if places:
            tokens = insert_tokens(patches, cls[:, None].expand(-1, len(places), -1), places)
        mixed = self.blocks[layer].mixer(tokens)
        return self.to_canonical(mixed, grid) if places else (mixed, None)

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Position embeddings (1, tokens, D) of the sequence over ``grid``."""
        source = self.patch_grid(self.img_size)
        source_cls = self.cls_index(source[0] * source[1])
        return resize_positions(
            self.pos_embed, source, grid, source_cls, self.cls_index(grid[0] * grid[1])
        )

    def fit_positions(self, state_dict: dict[str, Tensor], prefix: str = '', *_) -> None:
        """Resize the positions of a state dict; every cls entry keeps its place in the sequence."""
        grid = self.patch_grid(self.img_size)
        fit_positions(state_dict, f'{prefix}pos_embed', self.pos_embed, grid, self.cls_index)

    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Tokens (B, tokens, D) of (B, C, H, W) images, positions added, and their grid."""
        grid = self.patch_grid(shape_of(images)[-2:])
        x = self.patch_embed(images)  # (B, L, D)
        if self.cls_position != 'none':
            cls = self.cls_token.expand(x.shape[0], -1, -1)
            x = insert_tokens(x, cls, self.cls_index(math.prod(grid)))
        return x + self.positions(grid), grid
