"""The scan's benchmark as tables."""

from benchmarks.scan.benchmark import ScanResult, ScanRow
from benchmarks.scan.peers import REFERENCE, UNBIND
from transmamba_mm.tables import megabytes, number, pair, render

COLUMNS = (
    'ms',
    'time over\nfloor',
    'times faster than\nreference',
    'times faster than\nunbind loop',
    'peak\nmemory',
    'over inputs,\noutputs, grads',
    'error of\ny / grads',
)


def scan_table(result: ScanResult) -> str:
    """One row per implementation, the floor first; pairs are forward / forward + backward."""
    floor = result.floor
    limits = f'floor ({floor.forward_limit} / {floor.both_limit})'
    rows = [[limits, pair(floor.forward, floor.both)]]
    rows += [[row.name, *_cells(result, row)] for row in result.rows]
    title = f'B·D·L·N = {result.shape}   (forward / forward + backward)'
    rates = floor.rates
    measured = (
        f'floor: {rates.exps / 1e9:.1f} billion exps/s ({rates.exp_source}), '
        f'{rates.forward_bytes / 1e9:.0f} / {rates.both_bytes / 1e9:.0f} GB/s'
    )
    notes = [f'{row.name}: {row.note}' for row in result.rows if row.note]
    return '\n'.join([render(title, 'scan', COLUMNS, rows), measured, *notes])


def _cells(result: ScanResult, row: ScanRow) -> list[str]:
    gradients = [error for name, error in row.errors.items() if name != 'y']
    parts = ('forward', 'both')
    return [
        pair(*(timing and timing.min for timing in (row.forward, row.both))),
        pair(*(result.above_floor(row, part) for part in parts)),
        pair(*(result.speedup(row, part, REFERENCE) for part in parts)),
        pair(*(result.speedup(row, part, UNBIND) for part in parts)),
        megabytes(row.peak_bytes),
        number(row.memory_ratio),
        f'{row.errors["y"]:.0e} / {max(gradients):.0e}' if row.errors else '-',
    ]
