"""Hook points for the directions of a block, with or without activation checkpointing."""

from typing import Any

from torch import Tensor, nn


class DirectionTap(nn.Module):
    """An identity whose output is the *direction feature*: (B, K, tokens, D), canonical order.

    Entry k is what direction k contributes to its block; the sum over k is the mixer's output.
    Keeping the directions apart costs K output projections instead of one, so a block does it only
    while the tap is :attr:`watched`.
    """

    @property
    def watched(self) -> bool:
        """Whether a hook (a :class:`~transmamba_mm.transfer.FeatureRecorder`) is on this tap."""
        return bool(self._forward_hooks)

    def forward(self, contributions: Tensor) -> Tensor:
        """Return (B, K, tokens, D) unchanged."""
        return contributions


def attach_tap(block: nn.Module) -> None:
    """Add a ``tap`` to ``block``, called outside of its ``forward``.

    Activation checkpointing runs ``forward`` a second time, and what a hook records inside the
    first run has no gradient, or does not agree with the second run. So the request is an argument
    of ``forward``, which both runs share, and the directions are an output of it: while the tap is
    watched, ``forward(*args, True)`` returns ``(output, directions)``. Hooks on the block see the
    output alone.
    """
    block.tap = DirectionTap()
    block.register_forward_pre_hook(_request_directions)
    block.register_forward_hook(_pass_directions)


def _request_directions(block: nn.Module, args: tuple) -> tuple | None:
    return (*args, True) if block.tap.watched else None


def _pass_directions(block: nn.Module, args: tuple, output: Any) -> Any:
    if not block.tap.watched:
        return None
    output, directions = output
    block.tap(directions)
    return output
