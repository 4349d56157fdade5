"""directional_scan against one case by hand, then every backend against the loop."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transmamba_mm.errors import UserError
from transmamba_mm.ops import bidirectional_order, directional_scan, invert_order
from transmamba_mm.ops.backends import chunked
from transmamba_mm.ops.backends.backend import ScanInputs
from transmamba_mm.ops.backends.select import BACKENDS

DTYPE = {torch.float64: {'rtol': 1e-9, 'atol': 1e-9}, torch.float32: {'rtol': 2e-4, 'atol': 2e-4}}
RUNS = [
    pytest.param(name, dtype, id=f'{name}-{str(dtype)[6:]}')
    for name, backend in BACKENDS['scan'].items()
    for dtype in DTYPE
    if dtype in backend.dtypes and backend.available()[0] and name != 'reference'
]
BACKEND_NAMES = [
    name
    for name, backend in BACKENDS['scan'].items()
    if 'cpu' in (backend.devices or ('cpu',)) and backend.available()[0]
]
# B, K, L, E, N; the last is as large as a buffer of the torch backend, and more than one chunk
SHAPES = [
    (2, 1, 1, 4, 1),
    (3, 2, 2, 5, 3),
    (2, 4, 3, 3, 8),
    (1, 2, 63, 7, 16),
    (2, 4, 65, 16, 1),
    (2, 1, 17, 33, 3),
    (16, 2, 9, 128, 16),
]


def problem(batch, K, L, E, N, dtype=torch.float64, shared=False):
    """All arguments, as a mixer passes them: B and C are views of a projection."""
    torch.manual_seed(batch + 10 * K + 100 * L + N)
    projected = torch.randn(batch, K, L, 2 * N + 1, dtype=torch.float64).to(dtype)
    tensors = {
        'x': torch.randn(batch, L, E) if shared else torch.randn(batch, K, L, E),
        'delta': torch.randn(batch, K, L, E) - 1,
        'A': -torch.rand(K, E, N) * N - 0.1,
        'B': projected[..., 1 : N + 1],
        'C': projected[..., N + 1 :],
        'D': torch.randn(K, E),
        'gate': torch.randn(batch, L, E),
        'delta_bias': torch.randn(K, E),
        'initial_state': torch.randn(batch, K, E, N),
    }
    tensors = {name: t.to(dtype).requires_grad_() for name, t in tensors.items()}
    order = torch.stack([torch.randperm(L) for _ in range(K)])
    return tensors, order


def scan(tensors, order, merge='sum', backend='auto', **kwargs):
    return directional_scan(
        **tensors, order=order, merge=merge, delta_softplus=True, backend=backend, **kwargs
    )


@pytest.mark.parametrize('backend', BACKEND_NAMES)
def test_two_tokens_by_hand(backend):
    """Steps of 1 and a decay of 1/2: forward h = 2, 31; backward h = 30 (token 1), 17 (token 0)."""
    column = torch.tensor
    arguments = {
        'x': column([[[1.0], [10.0]]]),
        'delta': torch.full((1, 1, 2, 1), math.log(math.e - 1) - 0.25),  # softplus(. + 0.25) = 1
        'A': torch.full((2, 1, 1), -math.log(2)),
        'B': column([[[[2.0], [3.0]]]]),
        'C': column([[[[5.0], [7.0]]]]),
        'D': torch.full((2, 1), 0.5),
        'order': bidirectional_order(2),
        'delta_bias': torch.full((2, 1), 0.25),
        'delta_softplus': True,
        'return_last_state': True,
        'backend': backend,
    }
    y, last_state = directional_scan(**arguments, merge='none')
    torch.testing.assert_close(y.flatten(), column([10.5, 222.0, 85.5, 215.0]))
    torch.testing.assert_close(last_state.flatten(), column([31.0, 17.0]))
    y, _ = directional_scan(**arguments, merge='sum')
    torch.testing.assert_close(y.flatten(), column([96.0, 437.0]))
    y, _ = directional_scan(**arguments, merge='mean')
    torch.testing.assert_close(y.flatten(), column([48.0, 218.5]))


@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'B{}-K{}-L{}-E{}-N{}'.format(*s))
@pytest.mark.parametrize('merge', ['sum', 'mean', 'none'])
@pytest.mark.parametrize('backend, dtype', RUNS)
def test_equals_the_loop(backend, dtype, merge, shape, monkeypatch):
    batch, K, _, E, N = shape
    if batch < 16:  # chunks of 5 steps
        monkeypatch.setattr(chunked, 'BUFFER_SIZE', 5 * batch * K * E * N)
    exact, order = problem(*shape, shared=merge == 'mean')
    expected = scan(exact, order, merge, 'reference', return_last_state=True)
    tensors = {n: t.detach().to(dtype).requires_grad_() for n, t in exact.items()}
    actual = scan(tensors, order, merge, backend, return_last_state=True)
    gradients = [torch.randn_like(t) for t in expected]
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, **DTYPE[dtype])

    torch.autograd.backward(expected, gradients)
    torch.autograd.backward(actual, [g.to(dtype) for g in gradients])
    for name, tensor in tensors.items():
        scale = exact[name].grad.abs().max()  # float32 sums over B * L; compare with the largest
        torch.testing.assert_close(
            tensor.grad.double() / scale, exact[name].grad / scale, **DTYPE[dtype], msg=name
        )


@settings(max_examples=20, deadline=None)
@given(data=st.data(), L=st.integers(1, 12), K=st.integers(1, 3), N=st.sampled_from([1, 3, 8]))
@pytest.mark.parametrize('backend', BACKEND_NAMES)
def test_order_is_permute_scan_unpermute(backend, data, L, K, N):
    tensors, _ = problem(2, K, L, 4, N, torch.float32)
    rows = [data.draw(st.permutations(range(L))) for _ in range(K)]
    order, straight = torch.tensor(rows), torch.arange(L).expand(K, L)
    every, lanes = torch.arange(K)[:, None], ('x', 'delta', 'B', 'C')
    permuted = tensors | {name: tensors[name][:, every, order] for name in lanes} | {'gate': None}
    expected = scan(permuted, straight, 'none', backend)[:, every, invert_order(order)]
    tensors['gate'] = None
    torch.testing.assert_close(scan(tensors, order, 'none', backend), expected)


@pytest.mark.parametrize('shape', [(2, 2, 5, 2, 3), (1, 1, 4, 3, 1)], ids=str)
@pytest.mark.parametrize('merge', ['mean', 'none'])
def test_gradcheck(shape, merge, monkeypatch):
    monkeypatch.setattr(chunked, 'BUFFER_SIZE', 2 * shape[0] * shape[1] * shape[3] * shape[4])
    tensors, order = problem(*shape)

    def run(*values):
        named = dict(zip(tensors, values, strict=True))
        return scan(named, order, merge, 'torch', return_last_state=True)

    assert torch.autograd.gradcheck(run, tuple(tensors.values()))


@pytest.mark.parametrize('backend', BACKEND_NAMES)
def test_optional_tensors_may_be_missing_and_one_lane_serve_all_directions(backend):
    tensors, order = problem(2, 3, 7, 4, 8, torch.float32, shared=True)
    results = []
    for dtype, name in ((torch.float32, backend), (torch.float64, 'reference')):
        leaves = {n: tensors[n].detach().to(dtype) for n in ('x', 'delta', 'A', 'B', 'C')}
        for lane in ('delta', 'B', 'C'):
            leaves[lane] = leaves[lane][:, :1].clone()
        leaves['delta'].exp_()
        for leaf in leaves.values():
            leaf.requires_grad_()
        y = directional_scan(**leaves, D=None, order=order, backend=name)
        results.append([y, *torch.autograd.grad(y.square().mean(), list(leaves.values()))])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('backend', BACKEND_NAMES)
def test_a_scan_goes_on_from_its_last_state(backend):
    tensors, _ = problem(2, 1, 11, 4, 3, torch.float32)
    order = torch.arange(11)[None]
    whole, last = scan(tensors, order, 'none', backend, return_last_state=True)
    parts, state = [], tensors['initial_state']
    for span in (slice(0, 4), slice(4, 11)):
        part = tensors | {n: tensors[n][:, :, span] for n in ('x', 'delta', 'B', 'C')}
        part |= {'initial_state': state, 'gate': tensors['gate'][:, span]}
        length = part['x'].shape[2]
        y, state = scan(part, order[:, :length], 'none', backend, return_last_state=True)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 2), whole)
    torch.testing.assert_close(state, last)


@pytest.mark.parametrize('backend', BACKEND_NAMES)
def test_a_loss_on_the_last_state_alone(backend):
    tensors, order = problem(2, 2, 5, 3, 4, torch.float32)
    _, last_state = scan(tensors, order, 'sum', backend, return_last_state=True)
    last_state.square().sum().backward()
    assert all(tensors[n].grad is None or not tensors[n].grad.any() for n in ('C', 'gate'))
    assert all(tensors[n].grad.any() for n in ('x', 'delta', 'A', 'B', 'initial_state'))


@pytest.mark.parametrize('backend', BACKEND_NAMES)
def test_large_steps_stay_finite(backend):
    """Dividing by the cumulative decay would give NaN here."""
    tensors, order = problem(1, 2, 300, 4, 16, torch.float32)
    tensors['delta'] = (tensors['delta'].detach() + 8).requires_grad_()
    y = scan(tensors, order, backend=backend)
    y.sum().backward()
    assert y.isfinite().all()
    assert all(t.grad.isfinite().all() for t in tensors.values())


@pytest.mark.parametrize('backend', BACKEND_NAMES)
def test_empty_batch(backend):
    tensors, order = problem(0, 2, 5, 3, 4, torch.float32)
    y, last_state = scan(tensors, order, backend=backend, return_last_state=True)
    y.sum().backward()
    assert (y.shape, last_state.shape) == ((0, 5, 3), (0, 2, 3, 4))
    assert not tensors['A'].grad.any()


@pytest.mark.parametrize('backend', BACKEND_NAMES)
def test_autocast_computes_in_float32(backend):
    tensors, order = problem(2, 2, 9, 4, 8, torch.float32)
    halves = {n: tensors[n].detach().bfloat16().requires_grad_() for n in ('x', 'delta', 'B', 'C')}
    with torch.autocast('cpu', torch.bfloat16):
        y, last_state = scan(tensors | halves, order, backend=backend, return_last_state=True)
        y.float().sum().backward()
    rounded = {n: t.detach().float().requires_grad_() for n, t in halves.items()}
    expected = scan(tensors | rounded, order, backend=backend)
    expected.sum().backward()
    assert (y.dtype, last_state.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(y, expected.bfloat16())
    assert torch.equal(halves['B'].grad, rounded['B'].grad.bfloat16())


@pytest.mark.parametrize(
    'changes, message',
    [
        ({'x': (2, 5, 6, 4)}, r'x has shape \(2, 5, 6, 4\), expected \(2, 3, 6, 4\)'),
        ({'x': (6, 4)}, r'x must be \(B, L, E\) or \(B, K, L, E\)'),
        ({'x': (2, 0, 4)}, r'x has no tokens'),
        ({'A': (3, 5, 8)}, r'A has shape \(3, 5, 8\), expected \(3, 4, 8\)'),
        ({'delta': (2, 2, 6, 4)}, r'delta has shape .*expected \(2, K or 1, 6, 4\)'),
        ({'B': (2, 3, 8, 6)}, r'B has shape .*expected \(2, K or 1, 6, 8\)'),
        ({'C': (2, 6, 8)}, r'C has shape'),
        ({'D': (4,)}, r'D has shape \(4,\), expected \(3, 4\)'),
        ({'order': (2, 6)}, r'order has shape \(2, 6\), expected \(3, 6\)'),
        ({'gate': (2, 3, 6, 4)}, r'gate has shape .*expected \(2, 6, 4\)'),
        ({'delta_bias': (4,)}, r'delta_bias has shape'),
        ({'initial_state': (2, 3, 8, 4)}, r'initial_state has shape .*expected \(2, 3, 4, 8\)'),
    ],
)
def test_a_wrong_shape_is_named(changes, message):
    shapes = {
        'x': (2, 6, 4),
        'delta': (2, 3, 6, 4),
        'A': (3, 4, 8),
        'B': (2, 1, 6, 8),
        'C': (2, 1, 6, 8),
    }
    shapes |= {'D': (3, 4), 'order': (3, 6)} | changes
    tensors = {name: torch.ones(shape) for name, shape in shapes.items()}
    with pytest.raises(UserError, match=message):
        directional_scan(**tensors | {'order': tensors['order'].long()})


def test_unknown_merge_and_fractional_order():
    tensors, order = problem(1, 1, 3, 2, 2)
    with pytest.raises(UserError, match=r"merge is 'max'; it is one of 'sum', 'mean', 'none'"):
        scan(tensors, order, 'max')
    with pytest.raises(UserError, match='order has dtype'):
        scan(tensors, order.float())


@pytest.mark.parametrize('backend', [name for name in BACKEND_NAMES if name != 'reference'])
def test_torch_compile_finds_one_graph(backend):
    tensors, order = problem(2, 2, 9, 4, 8, torch.float32)

    def loss(tensors, order):
        return 2 * scan(tensors, order, 'mean', backend).square().sum()

    compiled = torch.compile(loss, backend='aot_eager', fullgraph=True)
    for run in (loss, compiled):
        run(tensors, order).backward()
        gradients = {name: t.grad for name, t in tensors.items()}
        for tensor in tensors.values():
            tensor.grad = None
        if run is loss:
            expected = gradients
    for name in expected:
        torch.testing.assert_close(gradients[name], expected[name])


@pytest.mark.parametrize('backend', [name for name in BACKEND_NAMES if name != 'reference'])
def test_meta_tensors_have_the_shapes_of_the_outputs(backend):
    tensors, order = problem(2, 3, 70, 20, 4, torch.float32)
    tensors = {name: t.detach().to('meta').requires_grad_() for name, t in tensors.items()}
    inputs = ScanInputs(**tensors, order=order.to('meta'), merge='none', delta_softplus=True)
    y, last_state = BACKENDS['scan'][backend].kernel(inputs, return_last_state=True)
    assert y.shape == (2, 3, 70, 20) and last_state.shape == (2, 3, 20, 4) and y.is_meta
    (y.sum() + last_state.sum()).backward()
    assert tensors['B'].grad.shape == tensors['B'].shape
