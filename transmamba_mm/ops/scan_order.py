"""Traversals as indices: step t of direction k visits token ``order[k, t]``."""

import torch
from torch import Tensor


def bidirectional_order(length: int, device: torch.device | str | None = None) -> Tensor:
    """Return the (2, L) order of Vim: there and back (https://arxiv.org/abs/2401.09417)."""
    forward = torch.arange(length, device=device)
    return torch.stack([forward, forward.flip(0)])


def invert_order(order: Tensor) -> Tensor:
    """Return the (K, L) inverse: token l is visited at step ``inverse[k, l]`` of direction k."""
    steps = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, steps)
