"""The C++ scan promises what the float64 loop computes, for every input the interface allows."""

import itertools

import pytest
import torch

from transmamba_mm.errors import UserError
from transmamba_mm.ops.backends import cpp, reference
from transmamba_mm.ops.backends.backend import ScanInputs

pytestmark = pytest.mark.skipif(
    not cpp.available()[0], reason=f'no C++ scan here: {cpp.available()[1]}'
)
LENGTHS = (1, 2, 63, 197, 1000)


@pytest.fixture(autouse=True)
def _restore_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def problem(batch, K, L, E, N, *, shared=True, softplus=True, gate=False, one=False, seed=0):
    """Random inputs: steps from 1e-5 to 8, B and C strided, an order for each direction."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=random)

    groups = 1 if one else K
    delta = torch.exp(torch.rand(batch, groups, L, E, generator=random) * 13.6 - 11.5)
    if softplus:
        delta = torch.log(torch.expm1(delta.double())).float()
    projected = normal(batch, groups, L, 2 * N + 3)  # a projection: dt first, then B and C
    return {
        'x': normal(batch, L, E) if shared else normal(batch, K, L, E),
        'delta': delta,
        'A': -torch.arange(1.0, N + 1).expand(K, E, N) * (0.5 + torch.rand(K, E, 1)),
        'B': projected[..., 3 : N + 3],
        'C': projected[..., N + 3 :],
        'D': normal(K, E),
        'delta_bias': normal(K, E) * 0.1 if softplus else None,
        'initial_state': normal(batch, K, E, N),
        'gate': normal(batch, L, E) if gate else None,
        'order': torch.stack([torch.randperm(L, generator=random) for _ in range(K)]),
        'delta_softplus': softplus,
    }


def results(scan, inputs, merge, dtype):
    """Outputs and all gradients by name."""
    inputs = ScanInputs(**inputs, merge=merge)
    leaves = {
        name: tensor.detach().to(dtype).requires_grad_()
        for name, tensor in zip(ScanInputs._fields, inputs.tensors, strict=False)
        if tensor is not None
    }
    y, last_state = scan(inputs._replace(**leaves), return_last_state=True)
    random = torch.Generator().manual_seed(1)
    weights = [torch.randn(t.shape, generator=random).to(dtype) for t in (y, last_state)]
    loss = (y * weights[0]).sum() + (last_state * weights[1]).sum()
    gradients = torch.autograd.grad(loss, leaves.values())
    named = {f'd{name}': g for name, g in zip(leaves, gradients, strict=True)}
    return {'y': y.detach(), 'last_state': last_state.detach(), **named}


def assert_parity(inputs, merge='sum', tolerance=1e-6):
    found = results(cpp.scan, inputs, merge, torch.float32)
    expected = results(reference.scan, inputs, merge, torch.float64)
    errors = {
        name: float((found[name] - expected[name]).norm() / expected[name].norm())
        for name in expected
    }
    assert max(errors.values()) <= tolerance, errors


@pytest.mark.parametrize('N', [1, 16])
@pytest.mark.parametrize('L', LENGTHS)
def test_float64_to_a_millionth(L, N):
    assert_parity(problem(2, 2, L, 48, N))


@pytest.mark.parametrize('N', [2, 4, 5, 8, 24, 33])
def test_any_number_of_states(N):
    assert_parity(problem(2, 2, 70, 20, N))


@pytest.mark.parametrize('E', [1, 3, 16, 17, 64, 85, 130])
@pytest.mark.parametrize('N', [1, 4])
def test_any_number_of_channels(E, N):
    assert_parity(problem(1, 2, 9, E, N))


@pytest.mark.parametrize(
    ('merge', 'shared', 'softplus', 'gate', 'one'),
    itertools.product(('sum', 'mean', 'none'), *[(True, False)] * 4),
)
def test_every_form_of_the_inputs(merge, shared, softplus, gate, one):
    inputs = problem(2, 3, 35, 20, 4, shared=shared, softplus=softplus, gate=gate, one=one)
    assert_parity(inputs, merge)


def test_inputs_whose_channels_are_not_contiguous():
    inputs = problem(2, 2, 11, 20, 4)
    for name in ('x', 'delta', 'B', 'C'):
        inputs[name] = inputs[name].transpose(-1, -2).contiguous().transpose(-1, -2)
    assert_parity(inputs)


def test_optional_inputs_can_be_left_out():
    inputs = ScanInputs(**problem(2, 2, 11, 20, 4, softplus=False), merge='sum')
    inputs = inputs._replace(D=None, initial_state=None)
    y, last_state = cpp.scan(inputs)
    doubles = {name: getattr(inputs, name).double() for name in ('x', 'delta', 'A', 'B', 'C')}
    expected, _ = reference.scan(inputs._replace(**doubles))
    assert last_state is None
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)


def test_empty_batch():
    found = results(cpp.scan, problem(0, 2, 5, 16, 4), 'sum', torch.float32)
    assert found['y'].shape == (0, 5, 16)
    assert found['dA'].eq(0).all() and found['dD'].eq(0).all()


def test_order_means_permuting_then_scanning_then_permuting_back():
    inputs = problem(2, 1, 29, 20, 4)
    order, back = inputs['order'][0], inputs['order'][0].argsort()
    y = results(cpp.scan, inputs, 'sum', torch.float32)['y']
    permuted = inputs | {name: inputs[name][..., order, :] for name in ('x', 'delta', 'B', 'C')}
    permuted['order'] = torch.arange(29)[None]
    assert torch.equal(results(cpp.scan, permuted, 'sum', torch.float32)['y'][:, back], y)


@pytest.mark.parametrize(('batch', 'K', 'L', 'E', 'N'), [(5, 2, 197, 100, 16), (1, 4, 400, 192, 1)])
def test_results_do_not_depend_on_the_number_of_threads(batch, K, L, E, N):
    inputs = problem(batch, K, L, E, N, gate=True)
    assert batch * K * L * E * N > cpp.SERIAL_UPDATES

    def with_threads(threads):
        torch.set_num_threads(threads)
        return results(cpp.scan, inputs, 'sum', torch.float32)

    one, three = with_threads(1), with_threads(3)
    assert all(torch.equal(one[name], three[name]) for name in one)


def test_nan_stays_visible():
    inputs = problem(1, 1, 6, 20, 4)
    inputs['x'][0, 0, 3] = float('nan')
    y = results(cpp.scan, inputs, 'sum', torch.float32)['y']
    assert y[..., 3].isnan().any() and not y[..., 4].isnan().any()


def test_an_order_that_is_no_permutation_is_refused():
    inputs = problem(1, 2, 6, 20, 4)
    for index in (-1, 6, int(inputs['order'][1, 1])):
        inputs['order'][1, 0] = index
        with pytest.raises(UserError, match='permutation'):
            results(cpp.scan, inputs, 'sum', torch.float32)


def test_other_dtypes_are_refused():
    with pytest.raises(UserError, match='float32'):
        results(cpp.scan, problem(1, 1, 6, 20, 4), 'sum', torch.float64)
