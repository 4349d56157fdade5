"""The scan's benchmark: all contenders solve the same problem, and the floor matches its
definition."""

import time

import pytest
import torch

from benchmarks.memory import CLEAR, MemoryProcess
from benchmarks.scan.benchmark import benchmark_scan, num_steps
from benchmarks.scan.floor import floor_of, measure_rates, scan_bytes
from benchmarks.scan.job import ScanJob, relative_errors
from benchmarks.scan.peers import REFERENCE, UNBIND, contender, contenders
from benchmarks.scan.problem import (
    CHANNEL_FIRST,
    CHANNEL_LAST,
    TOKEN_MAJOR,
    ScanShape,
    random_operands,
)
from benchmarks.timing import interleave
from transmamba_mm.errors import UserError

CPU = torch.device('cpu')
USABLE = [one for one in contenders(CPU) if not one.obstacle]


@pytest.mark.parametrize(
    ('text', 'shape', 'label'),
    [
        ('8x384x197x16', (8, 1, 384, 197, 16), '8·384·197·16'),
        ('8x4x384x784x1', (8, 4, 384, 784, 1), '8·(4·384)·784·1'),
    ],
)
def test_shape_is_read(text, shape, label):
    assert ScanShape.parse(text) == shape
    assert str(ScanShape.parse(text)) == label


@pytest.mark.parametrize('text', ['8x384', '8x0x4x4', '8*4*4*4', 'x8x4x4x4', '1x2x3x4x5x6', ''])
def test_bad_shape_is_refused(text):
    with pytest.raises(UserError, match='write BxDxLxN'):
        ScanShape.parse(text)


@pytest.mark.parametrize('layout', [CHANNEL_FIRST, CHANNEL_LAST, TOKEN_MAJOR])
def test_layouts_lead_back(layout):
    operands, _ = random_operands(ScanShape(2, 3, 4, 5, 6))
    restored = layout.restore(layout.place(operands), 3)
    assert all(torch.equal(*pair) for pair in zip(operands, restored, strict=True))


@pytest.mark.parametrize('shape', ['2x3x8x13x4', '2x8x1x4', '1x2x5x8x1'])
@pytest.mark.parametrize('one', USABLE, ids=lambda one: one.name)
def test_contenders_agree_with_the_float64_reference(one, shape):
    problem = random_operands(ScanShape.parse(shape))
    oracle = ScanJob.of(contender(REFERENCE, CPU), problem, CPU, torch.float64).results()
    job = ScanJob.of(one, problem, CPU)
    errors = relative_errors(job.results(), oracle)
    assert set(errors) == {'y', 'dx', 'ddelta', 'dA', 'dB', 'dC', 'dD'}
    assert max(errors.values()) < 1e-5
    assert not job.forward().requires_grad


def test_bytes_of_the_floor_by_hand():
    # T = 2*3*4*5 = 120, M = 2*3*5*6 = 180, A and D = 3*4*6 + 3*4 = 84
    forward, both = scan_bytes(ScanShape(2, 3, 4, 5, 6))
    assert forward == 4 * (3 * 120 + 2 * 180 + 84)
    assert both - forward == 4 * (5 * 120 + 4 * 180 + 2 * 84)


@pytest.mark.parametrize('compiler', [True, False])
def test_floor_is_the_larger_of_two_times(compiler, monkeypatch):
    if not compiler:
        monkeypatch.setenv('CXX', 'no-such-compiler')
    shape = ScanShape(2, 1, 64, 50, 16)
    rates = measure_rates(shape, CPU)
    assert ('torch' in rates.exp_source) >= (not compiler)
    floor = floor_of(shape, rates)
    assert floor.forward >= 1000 * shape.updates / rates.exps > 0
    assert floor.both >= 2000 * shape.updates / rates.exps
    forward, both = scan_bytes(shape)
    assert floor.forward >= 1000 * forward / rates.forward_bytes > 0
    assert floor.both >= 1000 * both / rates.both_bytes > 0
    assert {floor.forward_limit, floor.both_limit} <= {'exp', 'memory'}


def test_rounds_take_turns():
    called = []
    calls = {name: lambda name=name: (called.append(name), time.sleep(0.02)) for name in 'ab'}
    timings = interleave(calls, 0.1, CPU)
    assert called[:2] == ['a', 'b'] and {'a', 'b'} <= set(called[-8:])
    for name, timing in timings.items():
        assert timing.calls == called.count(name) - 1 > 1  # the first one warmed up
        assert 20 <= timing.min <= timing.median


def _allocate(megabytes):
    return lambda: torch.ones(megabytes << 18).sum()


@pytest.mark.skipif(not CLEAR.exists(), reason='no /proc/self/clear_refs here')
def test_memory_is_the_peak():
    with MemoryProcess(CPU) as memory:
        peaks = [memory.peak(_allocate, megabytes) for megabytes in (96, 32)]
    assert peaks == [pytest.approx(m << 20, rel=0.1) for m in (96, 32)]


def test_benchmark_of_one_shape():
    shape, steps = ScanShape(1, 1, 16, 160, 4), []
    with MemoryProcess(CPU) as memory:
        result = benchmark_scan(shape, CPU, 1e-3, memory, step=steps.append)
    assert len(steps) == num_steps(CPU)
    rows = {row.name: row for row in result.rows}
    assert result.speedup(rows[UNBIND], 'both', UNBIND) in (None, 1)
    assert 'skipped' in rows['slicing loop'].note and rows['slicing loop'].both is None
    for row in result.rows:
        assert (row.forward is None) == bool(contender(row.name, CPU).obstacle)
        assert bool(row.errors) == (row.both is not None)
