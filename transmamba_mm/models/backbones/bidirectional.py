"""Base class of Vim and VideoMamba: bidirectional Mamba blocks over one sequence of tokens."""

import math
from abc import abstractmethod
from functools import partial

from mmcv.cnn.bricks import DropPath
from torch import LongTensor, Tensor, nn
from torch.nn.init import trunc_normal_, zeros_

from transmamba_mm.models.backbones.token_backbone import TokenBackbone
from transmamba_mm.models.backbones.token_block import TokenBlock
from transmamba_mm.models.layouts import CallInputs, FeatureSource
from transmamba_mm.models.mixers import BidirectionalMamba
from transmamba_mm.models.norms import RMSNorm
from transmamba_mm.ops import bidirectional_order

NORMS = {'rms': RMSNorm, 'layer': nn.LayerNorm}
NORM_EPS = 1e-5


class VimBlock(TokenBlock):
    """``x + drop_path(mixer(norm(x)))``: the residual stream (B, tokens, D) in and out."""

    def __init__(self, norm: nn.Module, mixer: nn.Module, drop_path: float) -> None:
        super().__init__()
        self.norm = norm
        self.mixer = mixer
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def mix(self, x: Tensor, keep_directions: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Add the mixer's output on the normalized stream."""
        mixed = self.mixer(self.norm(x), keep_directions)
        if keep_directions:
            return x + self.drop_path(mixed.sum(dim=1)), mixed
        return x + self.drop_path(mixed)


class BidirectionalBackbone(TokenBackbone):
    """A stack of :class:`VimBlock` behind an embedding that the subclass brings.

    The official codes carry ``hidden`` and ``residual`` apart and add them before each norm; the
    sum is the residual stream kept here, so the numbers are the same. So is their stochastic depth:
    a list shifted by one and an extra DropPath before the last norm drop the same branches.

    A subclass sets ``embed_dims``, ``num_layers``, ``out_type``, ``out_indices``, ``patch_embed``
    and ``pos_embed``, perhaps ``cls_token``; then it calls :meth:`stack_blocks`.
    """

    def stack_blocks(
        self, state_dims: int, norm: str, drop_path_rate: float, final_norm: bool, **mixer
    ) -> None:
        """Make ``blocks`` and ``norm``; ``mixer`` are options of :class:`BidirectionalMamba`."""
        self.blocks = nn.ModuleList(
            VimBlock(
                NORMS[norm](self.embed_dims, eps=NORM_EPS),
                BidirectionalMamba(self.embed_dims, state_dims, **mixer),
                drop_path_rate * i / max(self.num_layers - 1, 1),
            )
            for i in range(self.num_layers)
        )
        self.norm = NORMS[norm](self.embed_dims, eps=NORM_EPS) if final_norm else nn.Identity()

    @property
    def patch_size(self) -> int:
        """Side of a patch, pixels."""
        return self.patch_embed.patch_size

    def init_weights(self) -> None:
        """Initialize as the official code of Vim does, then by ``init_cfg``."""
        trunc_normal_(self.pos_embed, std=0.02)
        if hasattr(self, 'cls_token'):
            trunc_normal_(self.cls_token, std=0.02)
        fan_in = self.patch_embed.proj.weight[0].numel()
        trunc_normal_(self.patch_embed.proj.weight, std=fan_in**-0.5)
        zeros_(self.patch_embed.proj.bias)
        for block in self.blocks:
            block.mixer.init_weights(self.num_layers)
        super().init_weights()

    @abstractmethod
    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Tokens (B, tokens, D) of the sequence, positions added, and the grid of its patches."""

    def directions(self, grid: tuple[int, ...]) -> LongTensor:
        """Forward and backward raster order, (2, L)."""
        return bidirectional_order(math.prod(grid))

    def key_dims(self) -> list[int]:
        """State size N of each layer: the width of B and of C."""
        return [block.mixer.state_dims for block in self.blocks]

    def keys_queries(self) -> list[FeatureSource]:
        """B and C of each layer and direction, (B, 2, L, 2N), computed again from the input."""
        return [
            FeatureSource(path, partial(self._keys_queries, block.mixer), True)
            for path, block in zip(self.mixer_paths(), self.blocks, strict=True)
        ]

    def _keys_queries(
        self, mixer: BidirectionalMamba, inputs: CallInputs, grid: tuple[int, ...]
    ) -> tuple[Tensor, None]:
        return self._split_directions(mixer.keys_queries(inputs.hidden_states), grid)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Features of ``images`` at the layers ``out_indices``."""
        x, grid = self.embed(images)
        features = {}
        for index, block in enumerate(self.blocks):
            x = block(self.through_cam(x, grid, index))
            if index in self.out_indices:
                last = index == self.num_layers - 1
                features[index] = self.format_output(self.norm(x) if last else x, grid)
        return tuple(features[index] for index in self.out_indices)
