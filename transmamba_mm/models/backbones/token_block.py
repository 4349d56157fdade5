"""Base class of the residual blocks of all students."""

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from transmamba_mm.models.mixers.direction_tap import attach_tap


class TokenBlock(nn.Module):
    """A residual block with a direction tap; a subclass implements :meth:`mix`.

    Attributes:
        with_cp (bool): Recompute the block in the backward pass of a training, instead of keeping
            what it computes inside: less memory, more time, the same gradients.
    """

    def __init__(self) -> None:
        super().__init__()
        self.with_cp = False
        attach_tap(self)

    def forward(self, x: Tensor, *args) -> Tensor | tuple[Tensor, Tensor]:
        """Run :meth:`mix`, checkpointed where ``with_cp`` asks for it."""
        if self.with_cp and self.training:
            return recompute(self.mix, x, *args, use_reentrant=False)
        return self.mix(x, *args)

    def mix(self, x: Tensor, *args) -> Tensor | tuple[Tensor, Tensor]:
        """Residual stream in and out; on request with the directions (B, K, tokens, D)."""
        raise NotImplementedError
