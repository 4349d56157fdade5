import torch

from transmamba_mm.ops import bidirectional_order, invert_order


def test_bidirectional_order_goes_there_and_back():
    assert bidirectional_order(4).tolist() == [[0, 1, 2, 3], [3, 2, 1, 0]]


def test_invert_order_tells_when_a_token_is_visited():
    order = torch.stack([torch.randperm(9) for _ in range(3)])
    inverse = invert_order(order)
    assert torch.equal(order.gather(1, inverse), torch.arange(9).expand(3, 9))
    assert torch.equal(invert_order(inverse), order)
