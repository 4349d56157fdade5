"""Traversals as indices: step t of direction k visits token ``order[k, t]``."""

import torch
from torch import Tensor


def bidirectional_order(length: int, device: torch.device | str | None = None) -> Tensor:
    """Return the (2, L) order of Vim: there and back (https://arxiv.org/abs/2401.09417)."""
    forward = torch.arange(length, device=device)
    return torch.stack([forward, forward.flip(0)])


def cross_order(grid: tuple[int, int], device: torch.device | str | None = None) -> Tensor:
    """Return the (4, H * W) cross scan of VMamba (https://arxiv.org/abs/2401.10166) over a grid.

    Row by row, column by column, and each of them backwards.
    """
    tokens = torch.arange(grid[0] * grid[1], device=device).reshape(grid)
    forward = torch.stack([tokens.flatten(), tokens.T.flatten()])
    return torch.cat([forward, forward.flip(1)])


def snake_order(grid: tuple[int, int], device: torch.device | str | None = None) -> Tensor:
    """Return the (4, H * W) continuous scan of PlainMamba (https://arxiv.org/abs/2403.17695).

    Every step goes to a neighbor: rows alternately rightwards and leftwards, that backwards,
    columns alternately downwards and upwards, that backwards.
    """
    height, width = grid
    step = torch.arange(height * width, device=device)

    def there_and_back(length: int) -> tuple[Tensor, Tensor]:  # line of each step, place in it
        line, place = step // length, step % length
        return line, torch.where(line % 2 == 0, place, length - 1 - place)

    row, along_row = there_and_back(width)
    column, along_column = there_and_back(height)
    there = torch.stack([row * width + along_row, along_column * width + column])
    return torch.stack([there, there.flip(1)], dim=1).flatten(0, 1)


def arrival_moves(order: Tensor, width: int) -> Tensor:
    """Return (K, L) the move by which step t of ``order`` (K, L) came to its token.

    0 at the start, else 1 right, 2 left, 3 up, 4 down. The order goes from neighbor to neighbor
    over a grid of ``width`` columns, as :func:`snake_order` does.
    """
    down, right = (order // width).diff(dim=1), (order % width).diff(dim=1)
    moves = torch.zeros_like(order)
    moves[:, 1:] = (right > 0) * 1 + (right < 0) * 2 + (down < 0) * 3 + (down > 0) * 4
    return moves


def invert_order(order: Tensor) -> Tensor:
    """Return the (K, L) inverse: token l is visited at step ``inverse[k, l]`` of direction k."""
    steps = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, steps)
