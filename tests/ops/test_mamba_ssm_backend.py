"""mamba_ssm gets its inputs laid out as it documents, and only the scans that it can do.

The package needs a GPU. Without one, a function of the documented meaning that checks what the
kernel checks takes its place; the official golden file verifies that meaning.
"""

import json
import logging
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.ops.triton_interpreter import problem, results
from transmamba_mm.ops.backends import mamba_ssm, reference

GOLDEN = np.load(Path(__file__).parents[1] / 'data/golden/selective_scan.npz')
CASES = json.loads(str(GOLDEN['meta']))['cases']
DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'


def selective_scan_fn(
    u,
    delta,
    A,
    B,
    C,
    D=None,
    z=None,
    delta_bias=None,
    delta_softplus=False,
    return_last_state=False,
):
    """u, delta, z (B, D, L), A (D, N), B and C (B, G, N, L), D and delta_bias (D,)."""
    (batch, channels, length), N, groups = u.shape, A.shape[1], B.shape[1]
    assert delta.shape == u.shape and A.shape == (channels, N)
    assert B.shape == C.shape == (batch, groups, N, length) and channels % groups == 0
    assert all(v is None or (v.shape == (channels,) and v.stride(0) == 1) for v in (D, delta_bias))
    delta = delta if delta_bias is None else delta + delta_bias[:, None]
    delta = F.softplus(delta) if delta_softplus else delta
    B, C = (m.repeat_interleave(channels // groups, 1) for m in (B, C))
    state, outputs = u.new_zeros(batch, channels, N), []
    for t in range(length):
        step = delta[:, :, t, None]
        state = torch.exp(step * A) * state + step * B[..., t] * u[:, :, t, None]
        outputs.append((state * C[..., t]).sum(-1))
    y = torch.stack(outputs, -1)
    y = y if D is None else y + D[:, None] * u
    y = y if z is None else y * F.silu(z)
    return (y, state.detach()) if return_last_state else y


@pytest.mark.parametrize('case', [n for n, c in CASES.items() if 'DN' not in c.values()])
def test_what_stands_for_the_kernel_means_what_the_kernel_means(case):
    inputs = {n: torch.from_numpy(GOLDEN[f'in/{case}/{n}']) for n in CASES[case]['inputs']}
    for name in 'BC':
        if inputs[name].dim() == 3:
            inputs[name] = inputs[name][:, None]
    softplus = CASES[case]['delta_softplus']
    y, state = selective_scan_fn(**inputs, delta_softplus=softplus, return_last_state=True)
    np.testing.assert_allclose(y, GOLDEN[f'out/{case}/y'], rtol=0, atol=1e-10)
    np.testing.assert_allclose(state, GOLDEN[f'out/{case}/last_state'], rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    'kwargs',
    [
        {'merge': 'none', 'shared': False},
        {'merge': 'mean', 'one': True},
        {'merge': 'sum', 'softplus': False, 'without': ('D', 'delta_bias')},
    ],
    ids=lambda kwargs: kwargs['merge'],
)
def test_layout_there_and_back(kwargs):
    inputs = problem(2, 3, 5, 4, 2, **kwargs)._replace(gate=None, initial_state=None)

    def scan(inputs, return_last_state):
        return mamba_ssm.scan_with(selective_scan_fn, inputs, return_last_state)

    ours, exact = (results(f, inputs, torch.float64, last=False) for f in (scan, reference.scan))
    for name, expected in exact.items():
        torch.testing.assert_close(ours[name], expected, msg=name)
    _, last_state = scan(inputs, True)
    torch.testing.assert_close(last_state, reference.scan(inputs, True)[1])


def test_unsupported_scans_are_substituted_exactly_and_logged_once(caplog):
    mamba_ssm._substitute.cache_clear()
    inputs = problem(2, 2, 5, 4, 3)
    inputs = inputs._replace(
        **{n: t.to(DEVICE) for n, t in inputs._asdict().items() if torch.is_tensor(t)}
    )
    with caplog.at_level(logging.INFO, 'transmamba_mm'):
        for _ in range(2):
            found = results(mamba_ssm.BACKEND.kernel, inputs, torch.float32)
    exact = results(reference.scan, inputs, torch.float64)
    for name, expected in exact.items():
        torch.testing.assert_close(found[name].double(), expected, rtol=1e-4, atol=1e-5, msg=name)
    assert [record.message.split(' to ')[0] for record in caplog.records] == [
        'scan backend mamba_ssm falls back'
    ]


@pytest.mark.parametrize(
    'changes, last, obstacle',
    [
        ({}, False, ''),
        ({'initial_state': torch.zeros(1, 1, 2, 3)}, False, 'it starts from zero'),
        ({}, True, 'its last state has no gradient'),
        ({'A': -torch.ones(1, 2, 300)}, False, 'it takes at most 256 states'),
        ({'x': torch.ones(0, 4, 2)}, False, 'the batch is empty'),
    ],
)
def test_what_is_in_the_way(changes, last, obstacle):
    inputs = problem(1, 1, 4, 2, 3, without=('initial_state',))
    inputs.C.requires_grad_()
    inputs = inputs._replace(**changes)
    assert mamba_ssm.obstacle(inputs, last) == obstacle
    with torch.no_grad():
        assert mamba_ssm.obstacle(inputs, last) == ('' if last else obstacle)


def test_without_the_kernel_importing_works_and_the_reason_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, 'selective_scan_cuda', None)  # cannot be imported
    monkeypatch.setitem(sys.modules, 'mamba_ssm', None)
    available, reason = runpy.run_path(mamba_ssm.__file__)['available']()
    assert not available and 'selective_scan_cuda' in reason and '\n' not in reason


@pytest.mark.skipif(not mamba_ssm.available()[0], reason=mamba_ssm.available()[1])
@pytest.mark.parametrize('K, N, merge', [(1, 16, 'sum'), (2, 16, 'mean'), (4, 1, 'none')])
def test_on_a_gpu(K, N, merge):
    inputs = problem(2, K, 63, 48, N, merge, without=('initial_state',))
    inputs = inputs._replace(
        **{n: t.cuda() for n, t in inputs._asdict().items() if torch.is_tensor(t)}
    )
    found = results(mamba_ssm.BACKEND.kernel, inputs, torch.float32, last=False)
    exact = results(reference.scan, inputs, torch.float64, last=False)
    for name, expected in exact.items():
        assert (found[name] - expected).norm() <= 1e-5 * expected.norm(), name
