"""The benchmark of the scan: time, memory and error of every implementation, against a floor."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from benchmarks.memory import MemoryProcess
from benchmarks.scan.floor import Floor, floor_of, measure_rates
from benchmarks.scan.job import (
    ScanJob,
    measure_memory,
    predict_seconds,
    relative_errors,
)
from benchmarks.scan.peers import REFERENCE, UNBIND, contender, contenders
from benchmarks.scan.problem import ScanShape, random_operands
from benchmarks.timing import Timing, interleave

#: Of a contender that grows faster than the tokens, a call that would take this many times the
#: budget of a cell is left out.
PATIENCE = 3


@dataclass
class ScanRow:
    """One implementation at one shape.

    Attributes:
        name: See :mod:`.peers`.
        forward, both: Forward (without gradients), and forward and backward.
        peak_bytes, memory_ratio: See :func:`.scan_job.measure_memory`.
        errors: Of y and of each gradient against the reference in float64.
        note: Why something is missing.
    """

    name: str
    forward: Timing | None = None
    both: Timing | None = None
    peak_bytes: int | None = None
    memory_ratio: float | None = None
    errors: dict[str, float] = field(default_factory=dict)
    note: str = ''


@dataclass
class ScanResult:
    """All implementations at one shape."""

    shape: ScanShape
    floor: Floor
    rows: list[ScanRow]

    def speedup(self, row: ScanRow, part: str, base: str) -> float | None:
        """Time of the row called ``base`` over that of ``row``; part is 'forward' or 'both'."""
        timing = getattr(row, part)
        other = next((getattr(one, part) for one in self.rows if one.name == base), None)
        return None if timing is None or other is None else other.min / timing.min

    def above_floor(self, row: ScanRow, part: str) -> float | None:
        """Time over floor."""
        timing = getattr(row, part)
        return None if timing is None else timing.min / getattr(self.floor, part)

    def as_dict(self) -> dict[str, Any]:
        """Everything, ratios included, for JSON."""
        rows = []
        for row in self.rows:
            ratios: dict[str, float | None] = {}
            for part in ('forward', 'both'):
                ratios[f'{part}_speedup_reference'] = self.speedup(row, part, REFERENCE)
                ratios[f'{part}_speedup_unbind'] = self.speedup(row, part, UNBIND)
                ratios[f'{part}_above_floor'] = self.above_floor(row, part)
            rows.append({**asdict(row), **ratios})
        floor = {**asdict(self.floor), 'rates': self.floor.rates._asdict()}
        shape, label = self.shape._asdict(), str(self.shape)
        return {'shape': shape, 'label': label, 'floor': floor, 'rows': rows}


def benchmark_scan(
    shape: ScanShape,
    device: torch.device,
    seconds: float,
    memory: MemoryProcess,
    everything: bool = False,
    step: Callable[[str], None] = lambda what: None,
) -> ScanResult:
    """Compare all contenders at one shape.

    Args:
        shape: See there.
        device: Where.
        seconds: Budget of each cell; each call is timed once at least.
        memory: Where peaks are measured.
        everything: Run also what is predicted to be slow.
        step: Called with each step's description, ``num_steps`` times.
    """
    step('floor')
    rates = measure_rates(shape, device)
    step('float64 reference')
    problem = random_operands(shape)
    oracle = ScanJob.of(contender(REFERENCE, device), problem, device, torch.float64)
    expected = oracle.results()
    del oracle

    rows, jobs, quick = [], {}, {}
    for one in contenders(device):
        step(f'{one.name}: error')
        rows.append(row := ScanRow(one.name, note=one.obstacle))
        if one.obstacle:
            continue
        jobs[one.name] = job = ScanJob.of(one, problem, device)
        predicted = predict_seconds(one, shape, device) if one.growth > 1 else 0.0
        if predicted > PATIENCE * seconds and not everything:
            row.note = f'forward + backward skipped: about {predicted:.0f} s a call; --all runs it'
            continue
        quick[one.name] = job
        row.errors = relative_errors(job.results(), expected)
    del expected, problem

    step('forward')
    forward = interleave({name: job.forward for name, job in jobs.items()}, seconds, device)
    step('forward + backward')
    both = interleave({name: job.both for name, job in quick.items()}, seconds, device)
    rates = rates.best(measure_rates(shape, device))
    for row in rows:
        step(f'{row.name}: memory')
        row.forward, row.both = forward.get(row.name), both.get(row.name)
        if row.both is not None:
            measured = measure_memory(row.name, shape, device, memory)
            row.peak_bytes, row.memory_ratio = measured
    return ScanResult(shape, floor_of(shape, rates), rows)


def num_steps(device: torch.device) -> int:
    """How often :func:`benchmark_scan` calls ``step``."""
    return 4 + 2 * len(contenders(device))
