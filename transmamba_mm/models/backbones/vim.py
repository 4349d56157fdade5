"""Vim: a plain vision backbone of bidirectional Mamba blocks (arXiv 2401.09417)."""

from collections.abc import Sequence

import torch
from mmcv.cnn.bricks import DropPath
from torch import LongTensor, Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.patch_embed import (
    PatchEmbed,
    insert_tokens,
    resize_positions,
)
from transmamba_mm.models.backbones.token_backbone import (
    OUT_TYPES,
    TokenBackbone,
    check_choice,
    resolve_arch,
)
from transmamba_mm.models.mixers import BidirectionalMamba
from transmamba_mm.ops import bidirectional_order
from transmamba_mm.registry import MODELS

ARCHS = {
    'nano': {'embed_dims': 64, 'num_layers': 6, 'state_dims': 8},
    'tiny': {'embed_dims': 192, 'num_layers': 24, 'state_dims': 16},
    'small': {'embed_dims': 384, 'num_layers': 24, 'state_dims': 16},
    'base': {'embed_dims': 768, 'num_layers': 24, 'state_dims': 16},
}
NORMS = {'rms': nn.RMSNorm, 'layer': nn.LayerNorm}
CLS_POSITIONS = ('middle', 'first', 'both', 'none')
NORM_EPS = 1e-5


class VimBlock(nn.Module):
    """``x + drop_path(mixer(norm(x)))``: the residual stream (B, tokens, D) in and out."""

    def __init__(self, norm: nn.Module, mixer: nn.Module, drop_path: float) -> None:
        super().__init__()
        self.norm = norm
        self.mixer = mixer
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Add what the mixer makes of the normalized stream."""
        return x + self.drop_path(self.mixer(self.norm(x)))


@MODELS.register_module()
class Vim(TokenBackbone):
    """Vision Mamba.

    The official code carries ``hidden`` and ``residual`` apart and adds them before each norm; the
    sum is the residual stream kept here, so the numbers are the same. So is its stochastic depth: a
    list shifted by one and an extra DropPath before the last norm drop the same branches.

    Args:
        arch (str | dict): 'nano', 'tiny', 'small' or 'base', or a dict with ``embed_dims``,
            ``num_layers`` and ``state_dims``.
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
        init_cfg (dict, optional): See mmengine's ``BaseModule``.

    Returns:
        tuple[Tensor]: One feature per entry of ``out_indices``.

    Raises:
        UserError: Unknown arch, cls position or output type; an image patches do not cover.
    """

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
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        arch = resolve_arch(arch, ARCHS)
        check_choice('cls_position', cls_position, CLS_POSITIONS)
        check_choice('norm', norm, tuple(NORMS))
        out_type = out_type or ('avg_featmap' if cls_position == 'none' else 'cls_token')
        check_choice('out_type', out_type, OUT_TYPES)
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
        self.blocks = nn.ModuleList(
            VimBlock(
                NORMS[norm](self.embed_dims, eps=NORM_EPS),
                BidirectionalMamba(
                    self.embed_dims,
                    arch['state_dims'],
                    expand,
                    dt_rank,
                    conv_width,
                    average_directions,
                    shared_projections,
                ),
                drop_path_rate * i / max(self.num_layers - 1, 1),
            )
            for i in range(self.num_layers)
        )
        self.norm = NORMS[norm](self.embed_dims, eps=NORM_EPS) if final_norm else nn.Identity()

    @property
    def patch_size(self) -> int:
        """Side of a patch, pixels."""
        return self.patch_embed.patch_size

    @property
    def patch_stride(self) -> int:
        """Step between patches, pixels."""
        return self.patch_embed.patch_stride

    def init_weights(self) -> None:
        """Initialize as the official code does, then as ``init_cfg`` says."""
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        if self.cls_position != 'none':
            nn.init.trunc_normal_(self.cls_token, std=0.02)
        fan_in = self.patch_embed.proj.weight[0].numel()
        nn.init.trunc_normal_(self.patch_embed.proj.weight, std=fan_in**-0.5)
        nn.init.zeros_(self.patch_embed.proj.bias)
        for block in self.blocks:
            block.mixer.init_weights(self.num_layers)
        super().init_weights()

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

    def directions(self, grid: tuple[int, int]) -> LongTensor:
        """Forward and backward raster order, (2, H * W)."""
        return bidirectional_order(grid[0] * grid[1])

    def to_canonical(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Split (B, tokens, D) into raster patches (B, H * W, D) and cls (B, D), or None."""
        places = self.cls_index(grid[0] * grid[1])
        if not places:
            return tokens, None
        pieces, start = [], 0
        for place in places:
            pieces.append(tokens[:, start:place])
            start = place + 1
        return torch.cat([*pieces, tokens[:, start:]], dim=1), tokens[:, places].mean(dim=1)

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Position embeddings (1, tokens, D) of the sequence over ``grid``."""
        source = self.patch_grid(self.img_size)
        source_cls = self.cls_index(source[0] * source[1])
        return resize_positions(
            self.pos_embed, source, grid, source_cls, self.cls_index(grid[0] * grid[1])
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Features of (B, C, H, W) images at the layers ``out_indices``."""
        grid = self.patch_grid(images.shape[-2:])
        x = self.patch_embed(images)  # (B, L, D)
        if self.cls_position != 'none':
            cls = self.cls_token.expand(len(x), -1, -1)
            x = insert_tokens(x, cls, self.cls_index(x.shape[1]))
        x = x + self.positions(grid)
        features = {}
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.out_indices:
                last = index == self.num_layers - 1
                features[index] = self.format_output(self.norm(x) if last else x, grid)
        return tuple(features[index] for index in self.out_indices)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter for layer-wise learning rates, and the number of depths.

        The embeddings are depth 0, block i is i + 1, everything behind them is the last.
        """
        num_depths = self.num_layers + 2
        if not param_name.startswith(prefix):
            return num_depths - 1, num_depths
        name = param_name.removeprefix(prefix)
        if name.startswith('blocks.'):
            return int(name.split('.')[1]) + 1, num_depths
        embedding = name.startswith(('patch_embed', 'cls_token', 'pos_embed'))
        return 0 if embedding else num_depths - 1, num_depths
