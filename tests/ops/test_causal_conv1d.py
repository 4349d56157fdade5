"""causal_conv1d gives the official function's numbers, forward and back, on every backend."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from transmamba_mm.errors import UserError
from transmamba_mm.ops import causal_conv1d, directional_conv1d
from transmamba_mm.ops.backends.select import BACKENDS

GOLDEN = np.load(Path(__file__).parents[1] / 'data/golden/causal_conv1d.npz')
CASES = json.loads(str(GOLDEN['meta']))['cases']
TOLERANCE = {torch.float64: {'rtol': 0, 'atol': 1e-10}, torch.float32: {'rtol': 1e-4, 'atol': 2e-5}}


RUNS = [
    pytest.param(name, dtype, id=f'{name}-{str(dtype)[6:]}')
    for name, backend in BACKENDS['conv'].items()
    for dtype in TOLERANCE
    if 'cpu' in (backend.devices or ('cpu',)) and dtype in backend.dtypes and backend.available()[0]
]


@pytest.mark.parametrize('backend, dtype', RUNS)
@pytest.mark.parametrize('case', [name for name in CASES if not name.endswith('_init')])
def test_golden(case, backend, dtype):
    def golden(name):
        return torch.from_numpy(GOLDEN[f'{name}']).to(dtype)

    names = [n for n in ('x', 'weight', 'bias') if f'in/{case}/{n}' in GOLDEN]
    inputs = {n: golden(f'in/{case}/{n}').requires_grad_() for n in names}
    x, *weights = inputs.values()
    activation = CASES[case]['activation']
    y = causal_conv1d(x.transpose(1, 2), *weights, activation=activation, backend=backend)
    y = y.transpose(1, 2)
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


@pytest.mark.parametrize('activation', [None, 'silu'])
@pytest.mark.parametrize('B, L, E, W', [(2, 1, 5, 4), (1, 3, 33, 4), (2, 2, 5, 5), (3, 17, 85, 4),
                                        (2, 9, 5, 1), (40, 7, 16, 2), (2, 63, 20, 3)])  # fmt: skip
@pytest.mark.parametrize('backend, dtype', RUNS)
def test_equals_conv1d_on_a_view(backend, dtype, B, L, E, W, activation):
    torch.manual_seed(0)
    reverse = (False, True, True)
    projected = torch.randn(B, L, 2 * E, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, E, W, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, E, dtype=torch.float64, requires_grad=True)
    exact, gradient = (projected, weight, bias), torch.randn(3, B, L, E, dtype=torch.float64)
    x = projected.chunk(2, -1)[1]
    theirs = torch.stack(
        [conv1d(x, w, b, activation, r) for w, b, r in zip(weight, bias, reverse, strict=True)]
    )
    inputs = [t.detach().to(dtype).requires_grad_() for t in exact]
    x = inputs[0].chunk(2, -1)[1]
    ours = directional_conv1d(x, *inputs[1:], reverse, activation, backend)
    torch.testing.assert_close(ours.double(), theirs, **TOLERANCE[dtype])
    for mine, other in zip(
        torch.autograd.grad(ours, inputs, gradient.to(dtype)),
        torch.autograd.grad(theirs, exact, gradient),
        strict=True,
    ):
        scale = other.abs().max()
        torch.testing.assert_close(mine.double() / scale, other / scale, **TOLERANCE[dtype])


def test_results_do_not_depend_on_the_number_of_threads():
    torch.manual_seed(0)
    x, weight, bias = torch.randn(3, 130, 200), torch.randn(2, 200, 4), torch.randn(2, 200)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    threads, results = torch.get_num_threads(), []
    for count in (1, 3):
        torch.set_num_threads(count)
        y = directional_conv1d(*leaves, (False, True), 'silu')
        results.append([y, *torch.autograd.grad(y.square().sum(), leaves)])
    torch.set_num_threads(threads)
    assert all(map(torch.equal, *results))


@pytest.mark.parametrize(
    'backend', [name for name in BACKENDS['conv'] if BACKENDS['conv'][name].available()[0]]
)
def test_torch_compile_sees_one_graph(backend):
    leaves = [t.requires_grad_() for t in (torch.randn(2, 9, 6), torch.randn(2, 6, 4))]

    def loss(x, weight):
        return directional_conv1d(x, weight, None, (False, True), 'silu', backend).square().sum()

    compiled = torch.compile(loss, backend='aot_eager', fullgraph=True)
    ours, theirs = (torch.autograd.grad(f(*leaves), leaves) for f in (compiled, loss))
    torch.testing.assert_close(ours, theirs)


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
        ((2, 9, 6), (4, 6), None, None, r'weight \(1, 4, 6\)'),
        ((2, 9, 6), (6, 4), (4,), None, r'bias has shape \(1, 4\), expected \(1, 6\)'),
        ((2, 9, 6), (6, 4), None, 'relu', "'relu'"),
    ],
)
def test_wrong_arguments_are_named(x, weight, bias, activation, message):
    bias = None if bias is None else torch.ones(bias)
    with pytest.raises(UserError, match=message):
        causal_conv1d(torch.ones(x), torch.ones(weight), bias, activation)
