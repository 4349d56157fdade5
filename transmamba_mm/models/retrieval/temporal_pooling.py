"""Features of frames to the feature of a clip."""

import torch
from torch import Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.models.mixers import BidirectionalMamba

KINDS = ('mean', 'mamba')


class MeanOverFrames(nn.Module):
    """The mean over real frames (meanP of CLIP4Clip, arXiv 2104.08860)."""

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

    def __init__(self, embed_dims: int, num_layers: int = 1, state_dims: int = 16) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.RMSNorm(embed_dims, eps=1e-5) for _ in range(num_layers))
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


def build_pooling(temporal: str | dict, embed_dims: int) -> nn.Module:
    """Make 'mean' or 'mamba', or ``dict(type='mamba', num_layers=.., state_dims=..)``."""
    options = {'type': temporal} if isinstance(temporal, str) else dict(temporal)
    kind = options.pop('type', None)
    if kind not in KINDS:
        raise UserError(f'temporal={temporal!r} is unknown; choose one of {", ".join(KINDS)}.')
    try:
        return (
            MambaOverFrames(embed_dims, **options) if kind == 'mamba' else MeanOverFrames(**options)
        )
    except TypeError as error:
        raise UserError(
            f'temporal={temporal!r} has an option that {kind!r} does not know: {error}. '
            "'mamba' has num_layers and state_dims, 'mean' has none."
        ) from error
