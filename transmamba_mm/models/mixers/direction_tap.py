"""The place in a mixer where each scan direction can be seen by itself."""

from torch import Tensor, nn


class DirectionTap(nn.Module):
    """An identity whose output is the *direction feature*: (B, K, tokens, D), canonical order.

    Entry k is what direction k contributes to its block; the sum over k is the mixer's output.
    Keeping the directions apart costs K output projections instead of one, so a mixer asks
    :attr:`watched` first and takes the merged path while nobody looks.
    """

    @property
    def watched(self) -> bool:
        """Whether a hook (a :class:`~transmamba_mm.transfer.FeatureRecorder`) is on this tap."""
        return bool(self._forward_hooks)

    def forward(self, contributions: Tensor) -> Tensor:
        """Hand on (B, K, tokens, D) unchanged."""
        return contributions
