"""Soft labels in a few numbers, unbiased: the largest classes, and a sample of the others."""

from typing import NamedTuple

import torch
from torch import Tensor

#: Log of the probability 0: finite, as 0 times it has to be 0, and small enough for exp to give 0.
LOG_ZERO = -1e4


class SparseLabels(NamedTuple):
    """Some classes of each distribution, with repeats, and their probabilities, which sum to 1.

    Attributes:
        classes (Tensor): (B, k + n).
        probabilities (Tensor): (B, k + n) in float32; those of repeats add up.
    """

    classes: Tensor
    probabilities: Tensor


def sparsify(logits: Tensor, temperature: float, top_k: int, num_samples: int) -> SparseLabels:
    """Keep the ``top_k`` largest classes of ``softmax(logits / T)`` and a sample of the others.

    With the largest k alone, all other classes would get probability 0. So ``num_samples``
    classes are drawn from the others in proportion to their probabilities, and share these evenly:
    the expected sparse distribution is the full one, hence the expected gradient of a
    cross entropy or divergence is the exact one (random sampling of sparse logits, arXiv
    2503.16870). The value of a divergence is off by a constant, the entropy of the sample.

    Args:
        logits (Tensor): (B, classes).
        temperature (float): T; the labels are those of this temperature alone.
        top_k (int): k, fewer than there are classes.
        num_samples (int): n, at least 1.
    """
    distribution = (logits.float() / temperature).softmax(dim=-1)
    largest, classes = distribution.topk(top_k, dim=-1)
    others = distribution.scatter(-1, classes, 0)
    rest = others.sum(dim=-1, keepdim=True)
    # Where nothing is left it does not matter which classes share it, but some have to be drawn.
    drawn = torch.multinomial(others + (rest == 0), num_samples, replacement=True)
    shares = (rest / num_samples).expand(-1, num_samples)
    return SparseLabels(torch.cat([classes, drawn], -1), torch.cat([largest, shares], -1))


def to_logits(labels: SparseLabels, temperature: float, num_classes: int) -> Tensor:
    """Logits (B, num_classes) whose softmax at the same temperature is the sparse distribution."""
    kept = labels.probabilities.new_zeros(len(labels.classes), num_classes)
    kept.scatter_add_(1, labels.classes.long(), labels.probabilities)
    return temperature * kept.log().clamp(min=LOG_ZERO)
