"""What PlainMamba is made of: its patch embedding and its block."""

from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.patch_embed import PatchEmbed
from transmamba_mm.models.backbones.token_block import TokenBlock
from transmamba_mm.models.mixers import SnakeMamba, SnakePath

NORM_EPS = 1e-5
BATCH_NORM = {'type': 'BN'}


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
                f'patch_size={patch_size} does not do for PlainMamba, whose first convolution '
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
        """Add what the mixer makes of the normalized stream, tokens in raster order."""
        mixed = self.mixer(self.norm(x), path, keep_directions)
        if keep_directions:
            return x + self.drop_path(mixed.sum(dim=1)), mixed
        return x + self.drop_path(mixed)


def _convolve(block: PlainMambaBlock, args: tuple, x: Tensor) -> Tensor:
    """The depthwise convolution of raster tokens (B, L, D); a hook of the block."""
    image = x.unflatten(1, args[1].grid).permute(0, 3, 1, 2)  # a view, channels last
    return block.dw(image).permute(0, 2, 3, 1).flatten(1, 2)
