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


def golden(name, dtype):
    return torch.from_numpy(GOLDEN[name]).to(dtype)


@pytest.mark.parametrize('backend, dtype', RUNS)
@pytest.mark.parametrize('layout', ['BLE', 'BDL'])
@pytest.mark.parametrize('case', CASES)
def test_golden(case, layout, backend, dtype):
    def laid_out(tokens):
        return tokens.transpose(1, 2) if layout == 'BLE' else tokens

    names = [n for n in ('x', 'weight', 'bias', 'initial_states') if f'in/{case}/{n}' in GOLDEN]
    inputs = {n: golden(f'in/{case}/{n}', dtype).requires_grad_() for n in names}
    arguments = {n: t if n in ('weight', 'bias') else laid_out(t) for n, t in inputs.items()}
    y, final_states = causal_conv1d(
        **arguments,
        activation=CASES[case]['activation'],
        backend=backend,
        layout=layout,
        return_final_states=True,
    )
    torch.testing.assert_close(laid_out(y), golden(f'out/{case}/y', dtype), **TOLERANCE[dtype])
    if f'out/{case}/final_conv_state' in GOLDEN:
        # The file has a window of W tokens, as one step of the recurrence expects.
        expected = golden(f'out/{case}/final_conv_state', dtype)[..., 1:]
    else:
        expected = inputs['x'][..., 1 - CASES[case]['width'] :]
    assert torch.equal(laid_out(final_states), expected)
    laid_out(y).backward(golden(f'in/{case}/gy', dtype))
    for name, tensor in inputs.items():
        expected = golden(f'out/{case}/grad_{name}', dtype)
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
def test_torch_compile_finds_one_graph(backend):
    leaves = [t.requires_grad_() for t in (torch.randn(2, 9, 6), torch.randn(2, 6, 4))]

    def loss(x, weight):
        return directional_conv1d(x, weight, None, (False, True), 'silu', backend).square().sum()

    compiled = torch.compile(loss, backend='aot_eager', fullgraph=True)
    ours, theirs = (torch.autograd.grad(f(*leaves), leaves) for f in (compiled, loss))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('layout', ['BLE', 'BDL'])
@pytest.mark.parametrize('reverse', [False, True], ids=['forward', 'reverse'])
@pytest.mark.parametrize('length', [1, 5])
def test_gradcheck_with_states(length, reverse, layout):
    shapes = [(2, length, 3), (3, 4), (3,), (2, 3, 3)]
    inputs = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]

    def conv(x, weight, bias, states):
        if layout == 'BDL':
            x, states = x.transpose(1, 2), states.transpose(1, 2)
        options = {'initial_states': states, 'return_final_states': True, 'layout': layout}
        return causal_conv1d(x, weight, bias, 'silu', reverse, **options)

    assert torch.autograd.gradcheck(conv, inputs)


@pytest.mark.parametrize('reverse', [False, True], ids=['forward', 'reverse'])
@pytest.mark.parametrize('cut', [1, 2, 7])
def test_a_sequence_in_two_parts_is_the_sequence(cut, reverse):
    """The states that the first part leaves are those that the second part starts from."""
    torch.manual_seed(0)
    x, weight = torch.randn(2, 9, 6), torch.randn(6, 4)
    parts = [x[:, :cut], x[:, cut:]]
    out, states = [], None
    for part in parts[::-1] if reverse else parts:
        options = {'initial_states': states, 'return_final_states': True}
        y, states = causal_conv1d(part, weight, None, 'swish', reverse, **options)
        out.append(y)
    whole, last = causal_conv1d(x, weight, None, 'silu', reverse, return_final_states=True)
    torch.testing.assert_close(torch.cat(out[::-1] if reverse else out, 1), whole)
    assert torch.equal(states, last)
    assert torch.equal(last, x[:, :3].flip(1) if reverse else x[:, -3:])


def test_final_states_are_written_where_asked():
    x, out = torch.randn(2, 6, 6), torch.empty(2, 6, 3)
    weight = torch.randn(6, 4)
    y, states = causal_conv1d(
        x, weight, layout='BDL', return_final_states=True, final_states_out=out
    )
    assert states.data_ptr() == out.data_ptr() and torch.equal(out, x[..., -3:])
    # As many channels as tokens: the argument decides, and the two layouts differ.
    assert torch.equal(y, causal_conv1d(x.transpose(1, 2), weight).transpose(1, 2))
    assert not torch.allclose(y, causal_conv1d(x, weight))


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


@pytest.mark.parametrize('half', [torch.bfloat16, torch.float16], ids=['bfloat16', 'float16'])
@pytest.mark.parametrize('backend', [r.values[0] for r in RUNS if r.values[1] == torch.float32])
def test_half_precision_is_rounded_once(backend, half):
    """Outputs and gradients are as near to the float64 truth as half precision can be."""
    torch.manual_seed(0)
    shapes = [(2, 33, 16), (3, 16, 4), (3, 16)]
    inputs, dy = [torch.randn(s).to(half) for s in shapes], torch.randn(3, 2, 33, 16).to(half)

    def run(dtype, backend):
        leaves = [t.to(dtype).requires_grad_() for t in inputs]
        y = directional_conv1d(*leaves, (False, True, True), 'silu', backend)
        return y, *torch.autograd.grad(y, leaves, dy.to(dtype))

    for exact, found in zip(run(torch.float64, 'torch'), run(half, backend), strict=True):
        unavoidable = (exact.to(half).double() - exact).norm()
        assert found.dtype == half
        assert (found.double() - exact).norm() <= 1.02 * unavoidable


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


@pytest.mark.parametrize(
    'options, message',
    [
        ({'seq_idx': torch.zeros(2, 9, dtype=torch.int32)}, 'seq_idx'),
        ({'layout': 'BHL'}, "layout is 'BHL'.*'BLE'.*'BDL'"),
        ({'layout': 'BDL'}, r'x must be|weight'),  # x has 6 channels only when they are last
        ({'initial_states': torch.ones(2, 6, 3)}, r'initial_states.*\(2, 6, 3\).*\(2, 3, 6\)'),
        ({'final_states_out': torch.ones(2, 3, 6)}, 'return_final_states'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        causal_conv1d(torch.ones(2, 9, 6), torch.ones(6, 4), **options)
