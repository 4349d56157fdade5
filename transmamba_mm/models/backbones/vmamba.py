"""VMamba: a hierarchical vision backbone of four-directional scans (arXiv 2401.10166)."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import LongTensor, Tensor, nn

from transmamba_mm.checks import FLAG, check, checked, one_of
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.patch_embed import PatchEmbed
from transmamba_mm.models.backbones.token_backbone import (
    STUDENT_RULES,
    TokenBackbone,
    resolve_arch,
)
from transmamba_mm.models.backbones.token_block import TokenBlock
from transmamba_mm.models.mixers import SS2D
from transmamba_mm.ops import cross_order
from transmamba_mm.ops.shapes import shape_of
from transmamba_mm.registry import MODELS

# ``tiny``, ``small`` and ``base`` are the VMambav2 recipes ``v05_noz`` of ratio 1 (officially s1l8,
# s1l20, s1l20), ``-s2l5`` and ``-s2l15`` those of ratio 2, ``-v0`` the original VMamba. ``nano``
# and ``micro`` are ours, for images of 8 to 32 pixels; give them ``patch_size=2`` or more.
TINY_DIMS = (96, 192, 384, 768)  # and small
BASE_DIMS = (128, 256, 512, 1024)


def _recipe(embed_dims: tuple[int, ...], depths: tuple[int, ...], ssm_ratio: float) -> dict:
    return {
        'embed_dims': embed_dims,
        'depths': depths,
        'state_dims': 1,
        'ssm_ratio': ssm_ratio,
        'gate': False,
        'conv_bias': False,
        'mlp_ratio': 4.0,
        'patch_embed': 'conv_stem',
        'downsample': 'conv3',
    }


def _original(embed_dims: tuple[int, ...], depths: tuple[int, ...]) -> dict:
    return {
        'embed_dims': embed_dims,
        'depths': depths,
        'state_dims': 16,
        'ssm_ratio': 2.0,
        'gate': True,
        'conv_bias': True,
        'mlp_ratio': 0.0,
        'patch_embed': 'patches',
        'downsample': 'merging',
    }


ARCHS = {
    'nano': {**_recipe((48, 96), (4, 2), 1.0), 'patch_embed': 'patches'},
    'micro': {**_recipe((72, 144), (4, 2), 1.0), 'patch_embed': 'patches'},
    'tiny': _recipe(TINY_DIMS, (2, 2, 8, 2), 1.0),
    'small': _recipe(TINY_DIMS, (2, 2, 20, 2), 1.0),
    'base': _recipe(BASE_DIMS, (2, 2, 20, 2), 1.0),
    'tiny-s2l5': _recipe(TINY_DIMS, (2, 2, 5, 2), 2.0),
    'small-s2l15': _recipe(TINY_DIMS, (2, 2, 15, 2), 2.0),
    'base-s2l15': _recipe(BASE_DIMS, (2, 2, 15, 2), 2.0),
    'tiny-v0': _original(TINY_DIMS, (2, 2, 9, 2)),
    'small-v0': _original(TINY_DIMS, (2, 2, 27, 2)),
    'base-v0': _original(BASE_DIMS, (2, 2, 27, 2)),
}


NORM_EPS = 1e-5
Grid = tuple[int, int]


def convolve(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Apply ``conv`` to (B, H, W, C); permuting is a view in torch's channels_last layout."""
    return conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def conv_grid(conv: nn.Conv2d, grid: Grid) -> Grid:
    """Grid (H, W) that ``conv`` makes of ``grid``."""
    rows, cols = (
        (side + 2 * int(pad) - kernel) // stride + 1
        for side, pad, kernel, stride in zip(
            grid, conv.padding, conv.kernel_size, conv.stride, strict=True
        )
    )
    return rows, cols


class PatchEmbedNorm(PatchEmbed):
    """Patches side by side, each normalized: (B, C, H, W) -> (B, H', W', D).

    Args:
        in_channels (int): Channels C of the image.
        embed_dims (int): Width D.
        patch_size (int): Side of a patch, pixels.
    """

    def __init__(self, in_channels: int, embed_dims: int, patch_size: int) -> None:
        super().__init__(in_channels, embed_dims, patch_size)
        self.norm = nn.LayerNorm(embed_dims, eps=NORM_EPS)

    def forward(self, images: Tensor) -> Tensor:
        """Embed (B, C, H, W)."""
        return self.norm(self.proj(images).permute(0, 2, 3, 1))


class ConvStem(nn.Module):
    """Two overlapping convolutions, each of stride patch_size / 2: (B, C, H, W) -> (B, H', W', D).

    Args:
        in_channels (int): Channels C of the image.
        embed_dims (int): Width D.
        patch_size (int): Pixels per token, even and at least 4.

    Raises:
        UserError: Another patch size.
    """

    def __init__(self, in_channels: int, embed_dims: int, patch_size: int) -> None:
        super().__init__()
        if patch_size < 4 or patch_size % 2:
            raise UserError(
                f'patch_size={patch_size} is not for the conv_stem of this arch, which takes even '
                "sizes from 4 up; use an arch with patch_embed='patches', such as nano."
            )
        stride = patch_size // 2
        self.patch_size = patch_size
        self.conv1 = nn.Conv2d(in_channels, embed_dims // 2, stride + 1, stride, padding=1)
        self.norm1 = nn.LayerNorm(embed_dims // 2, eps=NORM_EPS)
        self.conv2 = nn.Conv2d(embed_dims // 2, embed_dims, stride + 1, stride, padding=1)
        self.norm2 = nn.LayerNorm(embed_dims, eps=NORM_EPS)

    def grid(self, image_size: Grid) -> Grid:
        """Patch grid (H, W) of an image of ``image_size`` pixels; odd sizes are padded."""
        return conv_grid(self.conv2, conv_grid(self.conv1, image_size))

    def forward(self, images: Tensor) -> Tensor:
        """Embed (B, C, H, W)."""
        x = F.gelu(self.norm1(convolve(self.conv1, images.permute(0, 2, 3, 1))))
        return self.norm2(convolve(self.conv2, x))


class PatchMerging(nn.Module):
    """The four tokens of each 2x2 cell, joined, normalized and projected.

    They are joined in the order (row, column) (0, 0), (1, 0), (0, 1), (1, 1). Odd grids are padded
    with zeros at the bottom and right.
    """

    def __init__(self, embed_dims: int, out_dims: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * embed_dims, eps=NORM_EPS)
        self.reduction = nn.Linear(4 * embed_dims, out_dims, bias=False)

    def grid(self, grid: Grid) -> Grid:
        """Grid (H, W) that comes of ``grid``: half, rounded up."""
        return (grid[0] + 1) // 2, (grid[1] + 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, D) -> (B, ceil(H / 2), ceil(W / 2), D')."""
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        cells = [x[:, row::2, col::2] for col in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(cells, dim=-1)))


class ConvDownsample(nn.Module):
    """A convolution of stride 2 and a norm.

    Args:
        embed_dims, out_dims (int): Widths.
        kernel_size (int): 2 drops the last row or column of an odd grid, 3 pads by 1.
    """

    def __init__(self, embed_dims: int, out_dims: int, kernel_size: int) -> None:
        super().__init__()
        padding = (kernel_size - 1) // 2
        self.conv = nn.Conv2d(embed_dims, out_dims, kernel_size, stride=2, padding=padding)
        self.norm = nn.LayerNorm(out_dims, eps=NORM_EPS)

    def grid(self, grid: Grid) -> Grid:
        """Grid (H, W) that comes of ``grid``."""
        return conv_grid(self.conv, grid)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, D) -> (B, H', W', D')."""
        return self.norm(convolve(self.conv, x))


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, embed_dims: int, hidden_dims: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dims, hidden_dims)
        self.fc2 = nn.Linear(hidden_dims, embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return self.fc2(F.gelu(self.fc1(x)))


class VMambaBlock(TokenBlock):
    """``x + ss2d(norm1(x))``, then ``x + mlp(norm2(x))``: (B, H, W, D) in and out.

    Args:
        embed_dims (int): Width D.
        ss2d (nn.Module): The mixer.
        mlp_ratio (float): Hidden width of the MLP over D; 0 leaves it out.
        drop_path (float): Stochastic depth of both branches.
    """

    def __init__(
        self, embed_dims: int, ss2d: nn.Module, mlp_ratio: float, drop_path: float
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dims, eps=NORM_EPS)
        self.ss2d = ss2d
        self.has_mlp = mlp_ratio > 0
        if self.has_mlp:
            self.norm2 = nn.LayerNorm(embed_dims, eps=NORM_EPS)
            self.mlp = Mlp(embed_dims, int(embed_dims * mlp_ratio))
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def mix(self, x: Tensor, keep_directions: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Add what mixer and MLP make of the normalized stream."""
        mixed = directions = self.ss2d(self.norm1(x), keep_directions)
        if keep_directions:
            mixed = directions.sum(dim=1).view_as(x)
        x = x + self.drop_path(mixed)
        if self.has_mlp:
            x = x + self.drop_path(self.mlp(self.norm2(x)))
        return (x, directions) if keep_directions else x


PATCH_EMBEDS = {'patches': PatchEmbedNorm, 'conv_stem': ConvStem}
DOWNSAMPLES = {
    'merging': PatchMerging,
    'conv2': partial(ConvDownsample, kernel_size=2),
    'conv3': partial(ConvDownsample, kernel_size=3),
}


class VMambaStage(nn.Module):
    """Blocks on one grid, and what brings their feature to the next stage.

    Args:
        blocks (Sequence[nn.Module]): The blocks, (B, H, W, D) in and out.
        downsample (nn.Module): To the grid and width of the next stage; an identity in the last.
    """

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the stage's feature (B, H, W, D) and the input of the next stage."""
        for block in self.blocks:
            x = block(x)
        return x, self.downsample(x)


@MODELS.register_module()
class VMamba(TokenBackbone):
    """VMamba, the original and the later recipes.

    A *layer* is a block, counted through all stages, and its feature is a map (B, H, W, D);
    ``layer_*`` and the transfer count layers. ``out_indices`` counts *stages*, as detectors and
    mmpretrain's Swin do; a stage's feature is that of its last block.

    Args:
        arch (str | dict): A name of ``vmamba_archs.ARCHS`` or a dict with the same keys:
            ``embed_dims`` and ``depths`` of each stage; ``state_dims``, ``ssm_ratio``, ``gate`` and
            ``conv_bias`` of :class:`SS2D`; ``mlp_ratio``; ``patch_embed`` ('patches' or
            'conv_stem', officially v1 and v2) and ``downsample`` ('merging', 'conv2' or 'conv3',
            officially v1 to v3).
        patch_size (int): Pixels per token of the first stage, a side.
        in_channels (int): Channels of the image.
        out_indices (int | Sequence[int]): Stages whose features are returned.
        out_type (str): 'avg_featmap' (B, D), 'featmap' (B, D, H, W) or 'raw' (B, H * W, D).
        norm_outputs (bool): Give each stage of ``out_indices`` a norm of its own, as the official
            detection backbone does; the last stage's is the final norm.
        dt_rank, conv_width: See :class:`SS2D`.
        drop_path_rate (float): Stochastic depth of the last block; grows linearly from 0.
        final_norm (bool): Normalize the last stage's feature.
        frozen_stages (int): As in mmpretrain's Swin: the patch embedding and the stages up to this
            one, counted from 0, are not trained and stay in evaluation mode. -1: none.
        norm_eval, with_cp: See :meth:`finish_construction`.
        init_cfg (dict, optional): See mmengine's ``BaseModule``.

    Returns:
        tuple[Tensor]: One feature per entry of ``out_indices``.

    Raises:
        UserError: Unknown arch or output type, a cls token asked for; an image that is too small,
            or that patches do not cover (a 'conv_stem' takes any size).
    """

    @checked(
        **STUDENT_RULES,
        norm_outputs=FLAG,
        final_norm=FLAG,
    )
    def __init__(
        self,
        arch: str | dict = 'tiny',
        patch_size: int = 4,
        in_channels: int = 3,
        out_indices: int | Sequence[int] = -1,
        out_type: str = 'avg_featmap',
        norm_outputs: bool = False,
        dt_rank: int | None = None,
        conv_width: int = 3,
        drop_path_rate: float = 0.0,
        final_norm: bool = True,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        arch = resolve_arch(arch, ARCHS)
        check('the arch', 'patch_embed', arch['patch_embed'], one_of(*PATCH_EMBEDS))
        check('the arch', 'downsample', arch['downsample'], one_of(*DOWNSAMPLES))
        if out_type == 'cls_token':
            raise UserError("VMamba has no cls token; use out_type='avg_featmap'.")
        self.stage_dims, self.depths = tuple(arch['embed_dims']), tuple(arch['depths'])
        if len(self.stage_dims) != len(self.depths):
            raise UserError(
                f'embed_dims {self.stage_dims} and depths {self.depths} of the arch need one entry '
                'for each stage.'
            )
        self.embed_dims = self.stage_dims[-1]
        self.num_layers = sum(self.depths)
        self.out_type = out_type
        self.out_indices = self.resolve_indices(out_indices)

        self.patch_embed = PATCH_EMBEDS[arch['patch_embed']](
            in_channels, self.stage_dims[0], patch_size
        )
        drop_paths = iter(torch.linspace(0, drop_path_rate, self.num_layers, device='cpu').tolist())
        mixer = partial(
            SS2D,
            state_dims=arch['state_dims'],
            ssm_ratio=arch['ssm_ratio'],
            dt_rank=dt_rank,
            conv_width=conv_width,
            conv_bias=arch['conv_bias'],
            gate=arch['gate'],
        )
        downsamples = [DOWNSAMPLES[arch['downsample']](*dims) for dims in pairwise(self.stage_dims)]
        self.stages = nn.ModuleList(
            VMambaStage(
                [
                    VMambaBlock(dims, mixer(dims), arch['mlp_ratio'], next(drop_paths))
                    for _ in range(depth)
                ],
                downsample,
            )
            for dims, depth, downsample in zip(
                self.stage_dims, self.depths, [*downsamples, nn.Identity()], strict=True
            )
        )
        self.norm = nn.LayerNorm(self.embed_dims, eps=NORM_EPS) if final_norm else nn.Identity()
        last = len(self.depths) - 1
        self.out_norms = nn.ModuleDict(
            {
                str(stage): nn.LayerNorm(self.stage_dims[stage], eps=NORM_EPS)
                for stage in self.out_indices
                if norm_outputs and stage != last
            }
        )
        self.finish_construction(frozen_stages, norm_eval, with_cp)

    @property
    def num_outputs(self) -> int:
        """Features that ``out_indices`` chooses from: one of each stage."""
        return len(self.depths)

    @property
    def num_extra_tokens(self) -> int:
        """Tokens in front of the patches: none."""
        return 0

    @property
    def max_frozen_stages(self) -> int:
        """The greatest ``frozen_stages``: all stages."""
        return len(self.depths) - 1

    def frozen_parts(self) -> list[nn.Module | nn.Parameter]:
        """Modules that ``frozen_stages`` freezes: as in mmpretrain's Swin, 0 is the first stage."""
        if self.frozen_stages < 0:
            return []
        stages = range(self.frozen_stages + 1)
        parts = [self.patch_embed, *(self.stages[i] for i in stages)]
        return parts + [self._output_norm(i) for i in stages]

    def init_weights(self) -> None:
        """Initialize as the official code does, then by ``init_cfg``."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, SS2D):
                module.init_weights()
        super().init_weights()

    def layer_paths(self) -> list[str]:
        """Blocks in depth order over all stages, whose output is the residual stream."""
        return [
            f'stages.{stage}.blocks.{block}'
            for stage, depth in enumerate(self.depths)
            for block in range(depth)
        ]

    def mixer_paths(self) -> list[str]:
        """The scan of each layer, with its projections."""
        return [f'{path}.ss2d' for path in self.layer_paths()]

    def layer_dims(self) -> list[int]:
        """Width of each layer's feature."""
        return [
            dims
            for dims, depth in zip(self.stage_dims, self.depths, strict=True)
            for _ in range(depth)
        ]

    def layer_grids(self, image_size: Grid) -> list[Grid]:
        """Grid (H, W) of each layer for an image of ``image_size`` (height, width)."""
        grids, grid = [], self.patch_grid(image_size)
        for stage, depth in zip(self.stages, self.depths, strict=True):
            grids += [grid] * depth
            grid = grid if stage is self.stages[-1] else stage.downsample.grid(grid)
        if 0 in grids[-1]:
            raise UserError(
                f'An image of {image_size[0]}x{image_size[1]} pixels is too small for the '
                f'{len(self.depths)} stages of this VMamba: enlarge it, or use a smaller '
                'patch_size or fewer stages.'
            )
        return grids

    def patch_grid(self, image_size: Grid) -> Grid:
        """Grid (H, W) of the first stage for an image of ``image_size`` (height, width)."""
        return self.patch_embed.grid(image_size)

    def directions(self, grid: Grid) -> LongTensor:
        """Rows, columns, and both backwards, (4, H * W)."""
        return cross_order(grid)

    def to_canonical(self, tokens: Tensor, grid: Grid) -> tuple[Tensor, None]:
        """Patches in raster order (B, H * W, D), from (B, H, W, D) or (B, H * W, D); no cls."""
        return (tokens.flatten(1, 2) if tokens.dim() == 4 else tokens), None

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Features of (B, C, H, W) images at the stages ``out_indices``."""
        self.layer_grids(shape_of(images)[-2:])  # refuses sizes that would leave a stage empty
        x = self.patch_embed(images)  # (B, H, W, D)
        features = {}
        for index, stage in enumerate(self.stages):
            feature, x = stage(x)
            if index in self.out_indices:
                grid = shape_of(feature)[1:3]
                normed = self._output_norm(index)(self.through_cam(feature, grid, index))
                features[index] = self.format_output(normed.flatten(1, 2), grid)
        return tuple(features[index] for index in self.out_indices)

    def _output_norm(self, stage: int) -> nn.Module:
        if stage == len(self.stages) - 1:
            return self.norm
        return self.out_norms[str(stage)] if str(stage) in self.out_norms else nn.Identity()

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter; a downsampling goes with the block before it."""
        _, stage, part, *_ = [*param_name.removeprefix(prefix).split('.'), '', '']
        if part == 'downsample':
            return sum(self.depths[: int(stage) + 1]), self.num_layers + 2
        return super().get_layer_depth(param_name, prefix)
