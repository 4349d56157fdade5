"""selective_scan gives the official function's numbers, on every available backend."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from transmamba_mm.errors import UserError
from transmamba_mm.ops import selective_scan
from transmamba_mm.ops.backends.select import BACKENDS

GOLDEN = np.load(Path(__file__).parents[1] / 'data/golden/selective_scan.npz')
CASES = json.loads(str(GOLDEN['meta']))['cases']
# float64 as exact as the file; float32 as the official function's own float32 is.
TOLERANCE = {torch.float64: {'rtol': 0, 'atol': 1e-10}, torch.float32: {'rtol': 1e-4, 'atol': 2e-5}}


def usable(backend, dtype):
    declared = BACKENDS['scan'][backend]
    on_cpu = 'cpu' in (declared.devices or ('cpu',))
    return on_cpu and dtype in declared.dtypes and declared.available()[0]


RUNS = [
    pytest.param(backend, dtype, id=f'{backend}-{str(dtype)[6:]}')
    for backend in BACKENDS['scan']
    for dtype in TOLERANCE
    if usable(backend, dtype)
]


def golden(case, dtype, *names):
    return {n: torch.from_numpy(GOLDEN[f'{case}/{n}']).to(dtype) for n in names}


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('backend, dtype', RUNS)
def test_golden(case, backend, dtype):
    names = CASES[case]['inputs']
    inputs = {n: t.requires_grad_() for n, t in golden(f'in/{case}', dtype, *names).items()}
    y, last_state = selective_scan(
        **inputs,
        delta_softplus=CASES[case]['delta_softplus'],
        return_last_state=True,
        backend=backend,
    )
    expected = golden(f'out/{case}', dtype, 'y', 'last_state')
    torch.testing.assert_close(y, expected['y'], **TOLERANCE[dtype])
    torch.testing.assert_close(last_state, expected['last_state'], **TOLERANCE[dtype])

    y.backward(golden(f'in/{case}', dtype, 'gy')['gy'])
    for name, tensor in inputs.items():
        (gradient,) = golden(f'out/{case}', dtype, f'grad_{name}').values()
        torch.testing.assert_close(tensor.grad, gradient, **TOLERANCE[dtype], msg=name)


@pytest.mark.parametrize('half', [torch.bfloat16, torch.float16], ids=['bfloat16', 'float16'])
@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('backend', [b for b in BACKENDS['scan'] if usable(b, torch.float32)])
def test_half_precision_is_rounded_once(case, backend, half):
    """Outputs and gradients are as near to the float64 truth as half precision can be."""
    inputs = golden(f'in/{case}', half, *CASES[case]['inputs'])
    inputs['A'] = inputs['A'].float()  # as a model that trains in half precision keeps it

    def run(dtype, backend):
        leaves = {n: t.to(dtype or t.dtype).requires_grad_() for n, t in inputs.items()}
        y = selective_scan(**leaves, delta_softplus=CASES[case]['delta_softplus'], backend=backend)
        dy = golden(f'in/{case}', half, 'gy')['gy'].to(y.dtype)
        return {
            'y': y,
            **dict(zip(leaves, torch.autograd.grad(y, list(leaves.values()), dy), strict=True)),
        }

    truth = run(torch.float64, 'reference')
    for name, found in run(None, backend).items():
        exact = truth[name].double()
        unavoidable = (exact.to(found.dtype).double() - exact).norm()
        assert (found.double() - exact).norm() <= 1.02 * unavoidable + 1e-5 * exact.norm(), name


def test_two_groupings_at_once():
    """B in 2 groups and C in 3, over 6 channels: as if each channel had its own."""
    torch.manual_seed(0)
    u, delta = torch.randn(2, 6, 7), torch.rand(2, 6, 7)
    A, B, C = -torch.rand(6, 4), torch.randn(2, 2, 4, 7), torch.randn(2, 3, 4, 7)
    together = selective_scan(u, delta, A, B, C)
    apart = [
        selective_scan(u[:, d, None], delta[:, d, None], A[d, None], B[:, d // 3], C[:, d // 2])
        for d in range(6)
    ]
    torch.testing.assert_close(together, torch.cat(apart, 1))


@pytest.mark.parametrize(
    'changes, message',
    [
        ({'delta': (2, 4, 6)}, r'delta has shape \(2, 4, 6\), expected \(2, 4, 5\)'),
        ({'A': (3, 8)}, r'A has shape \(3, 8\)'),
        ({'B': (2, 3, 8, 5)}, r'B has shape \(2, 3, 8, 5\), .* G a divisor of 4'),
        ({'C': (2, 5, 8)}, r'C has shape \(2, 5, 8\), expected .*\(2, 8, 5\)'),
        ({'D': (8,)}, r'D has shape \(8,\), expected \(4,\)'),
        ({'z': (2, 5, 4)}, r'z has shape'),
        ({'delta_bias': (1, 4)}, r'delta_bias has shape'),
        ({'u': (4, 5)}, r'u must be \(B, D, L\)'),
    ],
)
def test_a_wrong_shape_is_named(changes, message):
    shapes = {
        'u': (2, 4, 5),
        'delta': (2, 4, 5),
        'A': (4, 8),
        'B': (2, 8, 5),
        'C': (2, 8, 5),
    } | changes
    with pytest.raises(UserError, match=message):
        selective_scan(**{name: torch.ones(shape) for name, shape in shapes.items()})


def test_complex_a_is_refused():
    u, B = torch.ones(2, 4, 5), torch.ones(2, 8, 5)
    with pytest.raises(UserError, match='complex'):
        selective_scan(u, u, torch.ones(4, 8, dtype=torch.complex64), B, B)
