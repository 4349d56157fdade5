"""The Triton scan promises what the float64 loop computes, and compiles for a GPU without one.

No GPU is needed: Triton's interpreter runs the kernels on the CPU, its compiler takes any target.
Each works in a process of its own, since Triton interprets everything or nothing.
"""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from tests.ops.triton_interpreter import CASES, errors, problem
from transmamba_mm.errors import UserError
from transmamba_mm.ops import directional_scan
from transmamba_mm.ops.backends import triton_scan

ROOT = Path(__file__).parents[2]
needs_triton = pytest.mark.skipif(
    'cannot be imported' in triton_scan.available()[1], reason=triton_scan.available()[1]
)


def run(module, interpret):
    """Run a module of tests/ops; return what it printed last, from JSON."""
    result = subprocess.run(
        [sys.executable, '-W', 'ignore', '-m', f'tests.ops.{module}'],
        env=os.environ | {'TRITON_INTERPRET': str(int(interpret)), 'OMP_NUM_THREADS': '1'},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope='module')
def interpreted():
    return run('triton_interpreter', interpret=True)


@needs_triton
@pytest.mark.parametrize('case', CASES)
def test_float64_to_a_millionth(interpreted, case):
    found = interpreted[case]
    assert {'y', 'dx', 'ddelta', 'dA', 'dB', 'dC'} <= found.keys()
    assert max(found.values()) <= 1e-6, found


@needs_triton
@pytest.mark.parametrize('case', ['empty', 'twice'])
def test_an_empty_batch_gives_zeros_and_two_runs_the_same_bits(interpreted, case):
    assert not any(interpreted[case].values()), interpreted[case]


@needs_triton
def test_kernels_compile_for_gpus(tmp_path, monkeypatch):
    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    sizes = run('triton_compilation', interpret=False)
    kernels = {name.split('-')[0] for name in sizes}
    assert kernels == {'forward_kernel', 'backward_kernel'} and min(sizes.values()) > 0


@pytest.mark.parametrize('merge, shape', [('sum', (2, 70, 20)), ('none', (2, 3, 70, 20))])
def test_meta_tensors_have_the_shapes_of_the_outputs(merge, shape):
    inputs = problem(2, 3, 70, 20, 4, merge=merge)
    meta = (v.to('meta').requires_grad_() if torch.is_tensor(v) else v for v in inputs[:9])
    inputs = inputs._replace(**dict(zip(inputs._fields, meta, strict=False)))
    inputs = inputs._replace(order=inputs.order.to('meta'))
    y, last_state = triton_scan.scan(inputs, return_last_state=True)
    assert y.shape == shape and last_state.shape == (2, 3, 20, 4)
    (dB,) = torch.autograd.grad(y.sum() + last_state.sum(), [inputs.B])
    assert dB.shape == inputs.B.shape


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_without_a_gpu_the_reason_is_one_line():
    available, reason = triton_scan.available()
    assert not available and 'triton' in reason and '\n' not in reason
    tensors = problem(1, 1, 3, 4, 2)._asdict()
    with pytest.raises(UserError, match='it runs on cuda, not on cpu'):
        directional_scan(**tensors, backend='triton')


@pytest.mark.parametrize('version, usable', [('3.2.0', False), ('3.3.1', True), ('4.0', True)])
def test_an_old_triton_is_refused(version, usable, monkeypatch):
    monkeypatch.setitem(sys.modules, 'triton', types.SimpleNamespace(__version__=version))
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    available, reason = triton_scan.available()
    assert available == usable and ('3.2.0 is too old' in reason) != usable


@pytest.mark.skipif(not triton_scan.available()[0], reason=triton_scan.available()[1])
@pytest.mark.parametrize('case', CASES)
def test_on_a_gpu(case):
    sizes, kwargs = CASES[case]
    found = errors(sizes, **kwargs, device='cuda')
    assert max(found.values()) <= 1e-5, found
