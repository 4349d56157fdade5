"""Pool features of frames to the feature of a clip."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from transmamba_mm.checks import COUNT, DEPTH, check, check_keys, checked, one_of
from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import CallInputs, FeatureSource
from transmamba_mm.models.mixers import BidirectionalMamba
from transmamba_mm.models.norms import RMSNorm


class MeanOverFrames(nn.Module):
    """The mean over real frames (meanP of CLIP4Clip, arXiv 2104.08860); of any width D."""

    def __init__(self, embed_dims: int | None = None) -> None:
        super().__init__()

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool (B, T, D) to (B, D); ``mask`` (B, T) is False at frames that do not count."""
        if mask is None:
            return frames.mean(1)
        weights = mask.to(frames.dtype)[..., None]
        return (frames * weights).sum(1) / weights.sum(1).clamp(min=1)


class MambaOverFrames(nn.Module):
    """A small bidirectional Mamba over the frames in their order, then their mean.

    Each layer is ``x + mixer(norm(x))``. Only real frames are scanned: clips with equally many of
    them go through together, so that padding is not there at all.

    Args:
        embed_dims (int): Width D.
        num_layers (int): Blocks.
        state_dims (int): State size N.
    """

    @checked(embed_dims=COUNT, num_layers=DEPTH, state_dims=COUNT)
    def __init__(self, embed_dims: int, num_layers: int = 1, state_dims: int = 16) -> None:
        super().__init__()
        self.norms = nn.ModuleList(RMSNorm(embed_dims, eps=1e-5) for _ in range(num_layers))
        self.mixers = nn.ModuleList(
            BidirectionalMamba(embed_dims, state_dims) for _ in range(num_layers)
        )
        for mixer in self.mixers:
            mixer.init_weights(num_layers)

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool (B, T, D) to (B, D); ``mask`` (B, T) is False at frames that do not count."""
        if mask is None or mask.all():
            return self._scan(frames)
        counts = mask.sum(1)
        pooled = torch.zeros_like(frames[:, 0])
        for count in counts.unique().tolist():
            rows = (counts == count).nonzero().squeeze(1)
            if count:
                real = frames[rows][mask[rows].bool()].view(len(rows), count, -1)
                pooled = pooled.index_copy(0, rows, self._scan(real))
        return pooled

    def _scan(self, x: Tensor) -> Tensor:
        for norm, mixer in zip(self.norms, self.mixers, strict=True):
            x = x + mixer(norm(x))
        return x.mean(1)


class TransformerOverFrames(nn.Module):
    """A Transformer over the frames in their order, then their mean (seqTransf of CLIP4Clip).

    Its output is added to the frames themselves, so that it starts from the plain mean's picture
    (arXiv 2104.08860). Layers are pre-norm.

    Args:
        embed_dims (int): Width D.
        num_layers (int): Layers.
        num_heads (int): Heads of the attention.
        max_frames (int): How many frames have a position.
    """

    @checked(embed_dims=COUNT, num_layers=DEPTH, num_heads=COUNT, max_frames=COUNT)
    def __init__(
        self, embed_dims: int, num_layers: int = 4, num_heads: int = 8, max_frames: int = 77
    ) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise UserError(
                f'num_heads={num_heads} of the temporal Transformer do not divide its width '
                f'{embed_dims}: choose a divisor.'
            )
        self.positions = nn.Embedding(max_frames, embed_dims)
        nn.init.normal_(self.positions.weight, std=0.02)
        layer = nn.TransformerEncoderLayer(
            embed_dims,
            num_heads,
            dim_feedforward=4 * embed_dims,
            dropout=0.0,
            activation='gelu',
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)
        self.mean = MeanOverFrames()

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool (B, T, D) to (B, D); ``mask`` (B, T) is False at frames that do not count.

        Raises:
            UserError: More frames than there are positions.
        """
        if frames.shape[1] > len(self.positions.weight):
            raise UserError(
                f'{frames.shape[1]} frames are more than the {len(self.positions.weight)} that the '
                'temporal Transformer has positions for: set max_frames, or num_frames of the data.'
            )
        real = frames.new_ones(frames.shape[:2], dtype=torch.bool) if mask is None else mask.bool()
        places = (real.cumsum(1) - 1).clamp(min=0)
        # A row without any real frame attends to all of them; its mean is 0 all the same.
        left_out = ~real & real.any(1, keepdim=True)
        seen = self.layers(frames + self.positions(places), src_key_padding_mask=left_out)
        return self.mean(frames + seen, real)


def pooled_frames(pooling: nn.Module, path: str) -> FeatureSource:
    """What a pooling at ``path`` averages, (B, T, D).

    A padding frame, which repeats the last real one, has what that one has.

    Raises:
        UserError: It scans clips with equally many real frames together.
    """
    if isinstance(pooling, MambaOverFrames):
        raise UserError(
            "temporal='mamba' has no embedding of each frame of a padded clip: set frame_weight=0 "
            "of the distiller, or choose 'mean' or 'transformer'."
        )
    if isinstance(pooling, TransformerOverFrames):
        path = f'{path}.mean'
    return FeatureSource(path, _frames, from_inputs=True)


def _frames(inputs: CallInputs, tokens: Any) -> Tensor:
    return inputs.args[0]


KINDS = {'mean': MeanOverFrames, 'mamba': MambaOverFrames, 'transformer': TransformerOverFrames}


def build_pooling(temporal: str | dict, embed_dims: int) -> nn.Module:
    """Make one of ``KINDS`` by its name, or by a dict with its ``type`` and other arguments."""
    options = dict(temporal) if isinstance(temporal, Mapping) else {'type': temporal}
    name = options.pop('type', None)
    check('the retriever', 'temporal', name, one_of(*KINDS))
    kind = KINDS[name]
    known = set(inspect.signature(kind).parameters) - {'embed_dims'}
    check_keys(f'temporal={name!r}', options, known)
    return kind(embed_dims, **options)
