"""Importance of each channel, by every tensor that reads or writes it.

A tensor's scores are divided by their mean before they are averaged, so that a tensor counts the
same whatever its scale and size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from transmamba_mm.errors import UserError

#: Change is counted relative to the weights; this share of a tensor's mean magnitude is added to
#: both, so that a channel of zeros, which cannot change, does not pass for a stable one.
FLOOR = 1e-3


def _per_channel(tensor: Tensor, axis: int) -> Tensor:
    """Mean magnitude of each entry along ``axis``, in double precision (so on the CPU)."""
    rows = _exact(tensor).abs().movedim(axis, 0)
    return rows.reshape(len(rows), -1).mean(1)


def _exact(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().double()


def _average(scores: Sequence[Tensor]) -> Tensor:
    return torch.stack([score / score.mean().clamp(min=1e-12) for score in scores]).mean(0)


def magnitude(tensors: Sequence[tuple[Tensor, int]]) -> Tensor:
    """Importance by mean magnitude.

    Args:
        tensors (Sequence[tuple[Tensor, int]]): Tensors with C entries along the given axis.

    Returns:
        Tensor: (C,), the larger the more important; 1 on average.
    """
    return _average([_per_channel(tensor, axis) for tensor, axis in tensors])


def stability(tensors: Sequence[tuple[Tensor, int]], pretrained: Sequence[Tensor | None]) -> Tensor:
    """Importance by stability between two checkpoints (TransMamba v1, weight subcloning).

    "Important" are the channels that change little from pre-training to fine-tuning; change is the
    mean absolute difference relative to the mean magnitude of the pre-trained weights.

    Args:
        tensors (Sequence[tuple[Tensor, int]]): Fine-tuned tensors with C entries along the axis.
        pretrained (Sequence[Tensor | None]): The same tensors before fine-tuning. Those that are
            missing or of another shape (a new head, positions of another grid) do not count.

    Returns:
        Tensor: (C,), the larger the more stable; -1 on average.

    Raises:
        UserError: No tensor can be compared.
    """
    changes = []
    for (tensor, axis), before in zip(tensors, pretrained, strict=True):
        if before is None or before.shape != tensor.shape:
            continue
        size = _per_channel(before, axis)
        floor = FLOOR * size.mean() + 1e-12
        difference = _exact(tensor) - _exact(before)
        changes.append((_per_channel(difference, axis) + floor) / (size + floor))
    if not changes:
        raise UserError(
            "importance='stability' has no tensors to compare: no tensor of subcloning.pretrained "
            "has the key and shape of the teacher's. Give the checkpoint the teacher was "
            "fine-tuned from, in the same format, or use importance='magnitude'."
        )
    return -_average(changes)
