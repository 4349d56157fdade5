"""FLOPs of a tiny model by hand."""

import pytest
import torch
from torch import nn

from benchmarks.flops import attention_kind, count_flops
from transmamba_mm.models.mixers import BidirectionalMamba
from transmamba_mm.ops import bidirectional_order, directional_scan


@pytest.mark.parametrize('backend', ['torch', 'auto'])
def test_scan_by_hand(backend):
    batch, length, K, E, N = 2, 3, 2, 4, 5
    x = torch.randn(batch, length, E, requires_grad=True)
    delta, A = torch.rand(batch, K, length, E), -torch.rand(K, E, N)
    B, C = torch.randn(2, batch, K, length, N)
    D, order = torch.ones(K, E), bidirectional_order(length)
    updates = batch * length * K * E

    def scan(skip=None):
        return directional_scan(x, delta, A, B, C, skip, order, backend=backend)

    # exp(delta A): 2 N, state: 3 N, delta x: 1, y: 2 N, D x: 2
    assert sum(count_flops(scan).values()) == updates * (7 * N + 1)
    assert sum(count_flops(lambda: scan(D)).values()) == updates * (7 * N + 1 + 2)
    counts = count_flops(lambda: scan(D).sum().backward())
    assert sum(counts.values()) == 3 * updates * (7 * N + 3)


def test_mixer_by_hand():
    batch, length, width, N, rank = 2, 6, 8, 3, 1
    E, tokens = 2 * width, batch * length
    mixer = BidirectionalMamba(width, N)
    in_proj, out_proj = 2 * tokens * width * 2 * E, 2 * tokens * E * width
    x_proj, dt_proj = 2 * tokens * E * (rank + 2 * N), 2 * tokens * rank * E
    scan = tokens * E * (7 * N + 3)
    expected = in_proj + out_proj + 2 * (x_proj + dt_proj + scan)
    with torch.no_grad():
        counts = count_flops(lambda: mixer(torch.randn(batch, length, width)))
    assert sum(counts.values()) == expected
    assert attention_kind(counts) == 'matrix products and softmax'


def test_attention_is_counted():
    q = torch.randn(2, 3, 7, 4, requires_grad=True)
    attend = nn.functional.scaled_dot_product_attention
    counts = count_flops(lambda: attend(q, q, q))
    assert sum(counts.values()) == 2 * 2 * (2 * 3 * 7 * 7 * 4)
    assert 'scaled_dot_product' in attention_kind(counts)
    both = count_flops(lambda: attend(q, q, q).sum().backward())
    assert sum(both.values()) == 2 * (2 + 5) * (2 * 3 * 7 * 7 * 4)  # recomputes q k^T
