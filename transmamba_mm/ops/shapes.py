"""Sizes of tensors as numbers, also where torch traces."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.fx.experimental.symbolic_shapes import statically_known_true


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """Return the shape of a tensor as numbers, or as symbols that can be compared.

    ``torch.jit.trace`` gives sizes as tensors, which fit no set, no slice's end and no ``divmod``.
    A traced graph holds for the sizes that it was traced with, so they may as well be numbers.
    """
    return tuple(map(int, tensor.shape)) if torch.jit.is_tracing() else tuple(tensor.shape)


def same_sizes(sizes: Sequence[int], others: Sequence[int]) -> bool:
    """Return whether equally many sizes are equal, for certain.

    Sizes that ``torch.export`` left open may or may not be, and must not be settled by asking.
    """
    return all(statically_known_true(a == b) for a, b in zip(sizes, others, strict=True))
