"""PlainMamba: a plain vision backbone whose scans walk like a snake (arXiv 2403.17695)."""

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import DropPath
from torch import LongTensor, Tensor, nn
from torch.nn.init import trunc_normal_

from transmamba_mm.checks import COUNT, FLAG, SIDES, checked
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.load_positions import fit_positions
from transmamba_mm.models.backbones.patch_embed import PatchEmbed, resize_positions
from transmamba_mm.models.backbones.token_backbone import (
    OUT_TYPES,
    STUDENT_RULES,
    TokenBackbone,
    resolve_arch,
)
from transmamba_mm.models.backbones.token_block import TokenBlock
from transmamba_mm.models.mixers import SnakeMamba, SnakePath
from transmamba_mm.ops import snake_order
from transmamba_mm.ops.shapes import shape_of
from transmamba_mm.registry import MODELS

NORM_EPS = 1e-5
BATCH_NORM = {'type': 'BN'}

# stem_convs: convolutions between the first and the patches; dwconv_layers: the blocks that end in
# a depthwise convolution.
ARCHS = {
    'nano': {
        'embed_dims': 64,
        'num_layers': 6,
        'state_dims': 8,
        'stem_dims': 32,
        'stem_convs': 1,
        'dwconv_layers': (0,),
    },
    'micro': {
        'embed_dims': 96,
        'num_layers': 8,
        'state_dims': 4,
        'stem_dims': 48,
        'stem_convs': 1,
        'dwconv_layers': (0,),
    },
    'L1': {
        'embed_dims': 192,
        'num_layers': 24,
        'state_dims': 16,
        'stem_dims': 64,
        'stem_convs': 1,
        'dwconv_layers': (0,),
    },
    'L2': {
        'embed_dims': 384,
        'num_layers': 24,
        'state_dims': 16,
        'stem_dims': 64,
        'stem_convs': 2,
        'dwconv_layers': (),
    },
    'L3': {
        'embed_dims': 448,
        'num_layers': 36,
        'state_dims': 16,
        'stem_dims': 64,
        'stem_convs': 2,
        'dwconv_layers': (),
    },
}
FINAL_NORM_EPS = 1e-6


class StemPatchEmbed(PatchEmbed):
    """Convolutions at half the resolution, then patches: (B, C, H, W) -> (B, L, D).

    Args:
        in_channels (int): Channels C of the image.
        embed_dims (int): Model width D.
        patch_size (int): Pixels per token, even: the first convolution has stride 2, the patches
            behind it are half as large.
        stem_dims (int): Width of the convolutions.
        stem_convs (int): Convolutions 3x3 after the first, which is 7x7.

    Raises:
        UserError: An odd ``patch_size``.
    """

    def __init__(
        self, in_channels: int, embed_dims: int, patch_size: int, stem_dims: int, stem_convs: int
    ) -> None:
        if patch_size < 2 or patch_size % 2:
            raise UserError(
                f'patch_size={patch_size} is odd, but the first convolution of PlainMamba '
                'halves the image: use an even one.'
            )
        super().__init__(stem_dims, embed_dims, patch_size // 2)
        self.patch_size = self.patch_stride = patch_size
        self.stem = ConvModule(in_channels, stem_dims, 7, stride=2, padding=3, norm_cfg=BATCH_NORM)
        self.convs = nn.Sequential(
            *(
                ConvModule(stem_dims, stem_dims, 3, padding=1, norm_cfg=BATCH_NORM)
                for _ in range(stem_convs)
            )
        )

    def forward(self, images: Tensor) -> Tensor:
        """Embed (B, C, H, W) into (B, L, D)."""
        return super().forward(self.convs(self.stem(images)))


class PlainMambaBlock(TokenBlock):
    """``x + drop_path(mixer(norm(x)))``, and a depthwise convolution of that sum where asked for.

    The convolution, ``GELU(BN(conv3x3(x)))``, has no residual connection around it. It follows on
    ``forward``, which activation checkpointing runs twice: its batch norm counts a batch once.

    Args:
        mixer (SnakeMamba): What mixes tokens.
        embed_dims (int): Model width D.
        drop_path (float): Probability that the mixer's branch is dropped.
        dwconv (bool): Whether the depthwise convolution follows.
    """

    def __init__(self, mixer: SnakeMamba, embed_dims: int, drop_path: float, dwconv: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(embed_dims, eps=NORM_EPS)
        self.mixer = mixer
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.dw = None
        if dwconv:
            self.dw = ConvModule(
                embed_dims,
                embed_dims,
                3,
                padding=1,
                groups=embed_dims,
                norm_cfg=BATCH_NORM,
                act_cfg={'type': 'GELU'},
            )
            self.register_forward_hook(_convolve)

    def mix(
        self, x: Tensor, path: SnakePath, keep_directions: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Add the mixer's output on the normalized stream, tokens in raster order."""
        mixed = self.mixer(self.norm(x), path, keep_directions)
        if keep_directions:
            return x + self.drop_path(mixed.sum(dim=1)), mixed
        return x + self.drop_path(mixed)


def _convolve(block: PlainMambaBlock, args: tuple, x: Tensor) -> Tensor:
    """The depthwise convolution of raster tokens (B, L, D); a hook of the block."""
    image = x.unflatten(1, args[1].grid).permute(0, 3, 1, 2)  # a view, channels last
    return block.dw(image).permute(0, 2, 3, 1).flatten(1, 2)


@MODELS.register_module()
class PlainMamba(TokenBackbone):
    """PlainMamba.

    The released weights need two quirks of the official code, ``parameters_in_raster_order`` and
    ``double_dt_bias``, which :class:`SnakeMamba` describes. New training does without them, as the
    paper does, when a config sets both to False.

    Args:
        arch (str | dict): 'nano', 'micro', 'L1', 'L2' or 'L3', or a dict with ``embed_dims``,
            ``num_layers``, ``state_dims``, ``stem_dims``, ``stem_convs`` and ``dwconv_layers``.
        img_size (int | tuple[int, int]): (height, width) that the positions are made for; other
            sizes are accepted at run time and interpolate them.
        patch_size (int): Side of a patch, pixels, even.
        in_channels (int): Channels of the image.
        out_indices (int | Sequence[int]): Layers whose features are returned.
        out_type (str): 'avg_featmap' (B, D), 'featmap' (B, D, H, W) or 'raw' (B, L, D), in raster
            order.
        expand, dt_rank, conv_width, bias, conv_bias: See :class:`SnakeMamba`.
        parameters_in_raster_order, double_dt_bias: See :class:`SnakeMamba`.
        drop_path_rate (float): Stochastic depth of the last block; grows linearly from 0.
        frozen_stages, norm_eval, with_cp: See :meth:`finish_construction`.
        init_cfg (dict, optional): See mmengine's ``BaseModule``.

    Returns:
        tuple[Tensor]: One feature per entry of ``out_indices``.

    Raises:
        UserError: Unknown arch or output type, dwconv_layers that do not exist, an odd patch size,
            an even convolution, an image that patches do not cover.
    """

    @checked(
        **STUDENT_RULES,
        img_size=SIDES,
        expand=COUNT,
        bias=FLAG,
        conv_bias=FLAG,
        parameters_in_raster_order=FLAG,
        double_dt_bias=FLAG,
    )
    def __init__(
        self,
        arch: str | dict = 'L1',
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        out_indices: int | Sequence[int] = -1,
        out_type: str = 'avg_featmap',
        expand: int = 2,
        dt_rank: int | None = None,
        conv_width: int = 7,
        bias: bool = True,
        conv_bias: bool = True,
        parameters_in_raster_order: bool = True,
        double_dt_bias: bool = True,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        arch = resolve_arch(arch, ARCHS)
        if out_type == 'cls_token':
            raise UserError(
                "out_type='cls_token' is not for PlainMamba, which has no cls token: choose one of "
                f'{", ".join(name for name in OUT_TYPES if name != out_type)}.'
            )
        self.embed_dims = arch['embed_dims']
        self.num_layers = arch['num_layers']
        self.img_size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        self.out_type = out_type
        self.out_indices = self.resolve_indices(out_indices)
        absent = [i for i in arch['dwconv_layers'] if not 0 <= i < self.num_layers]
        if absent:
            raise UserError(
                f'dwconv_layers has {absent}, but the arch has {self.num_layers} layers, counted '
                'from 0.'
            )

        self.patch_embed = StemPatchEmbed(
            in_channels, self.embed_dims, patch_size, arch['stem_dims'], arch['stem_convs']
        )
        height, width = self.patch_grid(self.img_size)
        self.pos_embed = nn.Parameter(torch.zeros(1, height * width, self.embed_dims))
        self.blocks = nn.ModuleList(
            PlainMambaBlock(
                SnakeMamba(
                    self.embed_dims,
                    arch['state_dims'],
                    expand,
                    dt_rank,
                    conv_width,
                    bias,
                    conv_bias,
                    parameters_in_raster_order,
                    double_dt_bias,
                ),
                self.embed_dims,
                drop_path_rate * i / max(self.num_layers - 1, 1),
                dwconv=i in arch['dwconv_layers'],
            )
            for i in range(self.num_layers)
        )
        self.norm = nn.LayerNorm(self.embed_dims, eps=FINAL_NORM_EPS)
        self.finish_construction(frozen_stages, norm_eval, with_cp)
        self.register_load_state_dict_pre_hook(type(self).fit_positions)

    @property
    def patch_size(self) -> int:
        """Side of a patch, pixels."""
        return self.patch_embed.patch_size

    def init_weights(self) -> None:
        """Start positions and mixers; convolutions keep their own start; then ``init_cfg``."""
        trunc_normal_(self.pos_embed, std=0.02)
        for block in self.blocks:
            block.mixer.init_weights(self.num_layers)
        super().init_weights()

    def patch_grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Patch grid (H, W) of an image of ``image_size`` (height, width) pixels."""
        return self.patch_embed.grid(image_size)

    def directions(self, grid: tuple[int, int]) -> LongTensor:
        """Rows like a snake, that backwards, columns like a snake, that backwards, (4, H * W)."""
        return snake_order(grid)

    def to_canonical(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, None]:
        """Raster patches (B, H * W, D), which the tokens are already, and no cls."""
        return tokens, None

    @property
    def num_extra_tokens(self) -> int:
        """Tokens in front of the patches: none."""
        return 0

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Position embeddings (1, H * W, D) over ``grid``."""
        return resize_positions(self.pos_embed, self.patch_grid(self.img_size), grid, [], [])

    def fit_positions(self, state_dict: dict[str, Tensor], prefix: str = '', *_) -> None:
        """Resize the positions of a state dict that is about to be loaded."""
        grid = self.patch_grid(self.img_size)
        fit_positions(state_dict, f'{prefix}pos_embed', self.pos_embed, grid, lambda _: [])

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Features of (B, C, H, W) images at the layers ``out_indices``."""
        grid = self.patch_grid(shape_of(images)[-2:])
        x = self.patch_embed(images) + self.positions(grid)  # (B, L, D)
        path = SnakePath.over(grid, x.device)
        features = {}
        for index, block in enumerate(self.blocks):
            x = block(self.through_cam(x, grid, index), path)
            if index in self.out_indices:
                last = index == self.num_layers - 1
                features[index] = self.format_output(self.norm(x) if last else x, grid)
        return tuple(features[index] for index in self.out_indices)
