"""Clips for a model that was made for images: it sees their frames one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from transmamba_mm.models.layouts import layout_of

if TYPE_CHECKING:
    from transmamba_mm.transfer.record import TransferRecord


def as_seen_by(backbone: Any, images: Tensor) -> Tensor:
    """Frames (B * T, C, H, W) of clips for a backbone that sees images; else ``images`` itself."""
    return images if images.dim() == 4 or layout_of(backbone).takes_clips else as_frames(images)


def as_frames(clips: Tensor) -> Tensor:
    """The frames (B * T, C, H, W) of clips (B, C, T, H, W), clip by clip."""
    return clips.transpose(1, 2).flatten(0, 1)


def as_clips(frames: Tensor, num_frames: int) -> Tensor:
    """Undo :func:`as_frames`."""
    return frames.unflatten(0, (-1, num_frames)).transpose(1, 2)


def mean_over_frames(outputs: Tensor, num_frames: int) -> Tensor:
    """What a model said of each frame (B * T, D), averaged over the frames of a clip: (B, D)."""
    return outputs.unflatten(0, (-1, num_frames)).mean(1)


def join_frames(record: TransferRecord, num_frames: int) -> TransferRecord:
    """The record of B clips, from the record of their B * T frames as images.

    The patches of all frames stand one after another, (B, T * L, D) on a grid (T, H, W), in each
    direction too; cls tokens and logits are averaged.
    """
    logits = record.logits
    return replace(
        record,
        patches=[p.unflatten(0, (-1, num_frames)).flatten(1, 2) for p in record.patches],
        cls=[None if cls is None else mean_over_frames(cls, num_frames) for cls in record.cls],
        grids=[(num_frames, *grid) for grid in record.grids],
        directions=[  # of (B * T, K, L, D)
            d.unflatten(0, (-1, num_frames)).transpose(1, 2).flatten(2, 3)
            for d in record.directions
        ],
        logits=None if logits is None else mean_over_frames(logits, num_frames),
    )
