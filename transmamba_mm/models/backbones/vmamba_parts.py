"""What VMamba is built from around its mixer; feature maps are (B, H, W, D), channel-last."""

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.patch_embed import PatchEmbed
from transmamba_mm.models.backbones.token_block import TokenBlock

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


class Patches(PatchEmbed):
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
