"""causal_conv1d gives the official function's numbers, forward and back, in both directions."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from transmamba_mm.errors import UserError
from transmamba_mm.ops import causal_conv1d

GOLDEN = np.load(Path(__file__).parents[1] / 'data/golden/causal_conv1d.npz')
CASES = json.loads(str(GOLDEN['meta']))['cases']
TOLERANCE = {torch.float64: {'rtol': 0, 'atol': 1e-10}, torch.float32: {'rtol': 1e-4, 'atol': 2e-5}}


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('case', [name for name in CASES if not name.endswith('_init')])
def test_golden(case, dtype):
    def golden(name):
        return torch.from_numpy(GOLDEN[f'{name}']).to(dtype)

    names = [n for n in ('x', 'weight', 'bias') if f'in/{case}/{n}' in GOLDEN]
    inputs = {n: golden(f'in/{case}/{n}').requires_grad_() for n in names}
    x, *weights = inputs.values()
    activation = CASES[case]['activation']
    y = causal_conv1d(x.transpose(1, 2), *weights, activation=activation).transpose(1, 2)
    torch.testing.assert_close(y, golden(f'out/{case}/y'), **TOLERANCE[dtype])
    y.backward(golden(f'in/{case}/gy'))
    for name, tensor in inputs.items():
        expected = golden(f'out/{case}/grad_{name}')
        torch.testing.assert_close(tensor.grad, expected, **TOLERANCE[dtype], msg=name)


def conv1d(x, weight, bias, activation, reverse):
    """The textbook: flip, pad, Conv1d, flip back."""
    x = x.flip(1) if reverse else x
    channels, width = weight.shape
    padded = F.pad(x.transpose(1, 2), (width - 1, 0))
    y = F.conv1d(padded, weight[:, None], bias, groups=channels).transpose(1, 2)
    y = F.silu(y) if activation else y
    return y.flip(1) if reverse else y


@pytest.mark.parametrize('reverse', [False, True], ids=['forward', 'reverse'])
@pytest.mark.parametrize('activation', [None, 'silu'])
@pytest.mark.parametrize('L, W', [(1, 4), (3, 4), (2, 5), (17, 4), (9, 1), (63, 3)])
def test_equals_conv1d_on_a_view(L, W, activation, reverse):
    torch.manual_seed(0)
    projected = torch.randn(2, L, 10, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, W, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(5, dtype=torch.float64, requires_grad=True)
    inputs, gradient = (projected, weight, bias), torch.randn(2, L, 5, dtype=torch.float64)
    ours, theirs = (
        f(projected.chunk(2, -1)[1], weight, bias, activation, reverse)
        for f in (causal_conv1d, conv1d)
    )
    torch.testing.assert_close(ours, theirs)
    for mine, other in zip(
        torch.autograd.grad(ours, inputs, gradient),
        torch.autograd.grad(theirs, inputs, gradient),
        strict=True,
    ):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize('reverse', [False, True], ids=['forward', 'reverse'])
def test_gradcheck(reverse):
    inputs = [
        torch.randn(s, dtype=torch.float64, requires_grad=True) for s in [(2, 5, 3), (3, 4), 3]
    ]
    assert torch.autograd.gradcheck(lambda *t: causal_conv1d(*t, 'silu', reverse), inputs)


def test_weight_as_conv1d_keeps_it_and_an_empty_batch():
    conv = torch.nn.Conv1d(6, 6, 4, groups=6)
    y = causal_conv1d(torch.empty(0, 9, 6), conv.weight, conv.bias, 'silu')
    y.sum().backward()
    assert y.shape == (0, 9, 6)
    assert conv.weight.grad.count_nonzero() == 0


def test_half_precision_input_is_computed_in_the_weights_precision():
    x, weight = torch.randn(2, 9, 6).bfloat16(), torch.randn(6, 4)
    y = causal_conv1d(x, weight, activation='silu')
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, causal_conv1d(x.float(), weight, activation='silu').bfloat16())


@pytest.mark.parametrize(
    'x, weight, bias, activation, message',
    [
        ((2, 6), (6, 4), None, None, r'x must be \(B, L, E\)'),
        ((2, 9, 6), (4, 6), None, None, r'weight \(4, 6\)'),
        ((2, 9, 6), (6, 4), (4,), None, r'bias has shape \(4,\), expected \(6,\)'),
        ((2, 9, 6), (6, 4), None, 'relu', "'relu'"),
    ],
)
def test_wrong_arguments_are_named(x, weight, bias, activation, message):
    bias = None if bias is None else torch.ones(bias)
    with pytest.raises(UserError, match=message):
        causal_conv1d(torch.ones(x), torch.ones(weight), bias, activation)
