import pytest
import torch

from tests.golden import Golden
from transmamba_mm.ops import (
    arrival_moves,
    bidirectional_order,
    cross_order,
    invert_order,
    snake_order,
)


def test_bidirectional_order_goes_there_and_back():
    assert bidirectional_order(4).tolist() == [[0, 1, 2, 3], [3, 2, 1, 0]]


def test_invert_order_gives_the_step_of_a_token():
    order = torch.stack([torch.randperm(9) for _ in range(3)])
    inverse = invert_order(order)
    assert torch.equal(order.gather(1, inverse), torch.arange(9).expand(3, 9))
    assert torch.equal(invert_order(inverse), order)


@pytest.mark.parametrize('grid', [(4, 4), (5, 5), (4, 6), (1, 4), (2, 2), (5, 3), (3, 5)])
def test_snake_equals_the_official_one(grid):
    golden = Golden('plainmamba_l1like')
    order = snake_order(grid)
    recorded = f'perm/{grid[0]}x{grid[1]}'
    assert torch.equal(order, golden.output(f'{recorded}/order', torch.int64))
    assert torch.equal(invert_order(order), golden.output(f'{recorded}/inverse', torch.int64))
    moves = arrival_moves(order, grid[1])
    assert torch.equal(moves, golden.output(f'{recorded}/direction', torch.int64))


def test_the_snake_turns_at_the_borders():
    assert snake_order((2, 3)).tolist() == [
        [0, 1, 2, 5, 4, 3],
        [3, 4, 5, 2, 1, 0],
        [0, 3, 4, 1, 2, 5],
        [5, 2, 1, 4, 3, 0],
    ]


def test_cross_order_goes_along_rows_and_columns_both_ways():
    assert cross_order((2, 3)).tolist() == [
        [0, 1, 2, 3, 4, 5],
        [0, 3, 1, 4, 2, 5],
        [5, 4, 3, 2, 1, 0],
        [5, 2, 4, 1, 3, 0],
    ]
