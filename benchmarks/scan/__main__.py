"""How fast is the scan? Our backends and what others run, against the floor of this machine.

Example:
    python -m benchmarks.scan
    python -m benchmarks.scan --shapes 8x192x197x16 8x4x96x3136x1 --seconds 5

Shapes are BxDxLxN, or BxKxDxLxN for K directions: B sequences of L tokens with D channels (each of
the K), N states. All implementations take turns in one process, each in its own layout, on the same
numbers. Times are the fastest of all calls; errors are relative to the reference in float64. For
the floor and what it assumes see benchmarks/scan/floor.py. mambapy's parallel scan takes
part where it is installed (pip install --no-deps mambapy).
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.figures import plot_scan
from benchmarks.machine import describe_machine, machine_line, pick_device, write_json
from benchmarks.memory import MemoryProcess
from benchmarks.scan.benchmark import benchmark_scan, num_steps
from benchmarks.scan.problem import DEFAULT_SHAPES, ScanShape
from benchmarks.scan.report import scan_table
from transmamba_mm.launch.cli import HelpFormatter, run


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.scan', description=__doc__, formatter_class=HelpFormatter
    )
    parser.add_argument(
        '--shapes', nargs='+', default=list(DEFAULT_SHAPES), metavar='BxDxLxN', help='see above'
    )
    parser.add_argument('--seconds', type=float, default=2.0, help='budget of each cell')
    parser.add_argument('--all', action='store_true', help='run what is predicted to be slow, too')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu', help='where all run')
    parser.add_argument('--threads', type=int, help="default: torch's")
    parser.add_argument('--out', default='work_dirs/benchmark_scan', help='folder of the results')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure, print, save and draw."""
    args = parse_args(argv)
    shapes = [ScanShape.parse(text) for text in args.shapes]
    device = pick_device(args.device, args.threads)
    machine = describe_machine(device)
    console = Console()
    console.out(machine_line(machine))

    out = Path(args.out)
    results = []
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn())
    progress = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
    with progress, MemoryProcess(device) as memory:
        task = progress.add_task('', total=len(shapes) * num_steps(device))
        for shape in shapes:

            def step(what: str, label: str = str(shape)) -> None:
                progress.update(task, advance=1, description=f'{label}  {what}')

            results.append(benchmark_scan(shape, device, args.seconds, memory, args.all, step))
            console.out(scan_table(results[-1]) + '\n')
            values = {'machine': machine, 'seconds': args.seconds}
            values['shapes'] = [result.as_dict() for result in results]
            write_json(values, out / 'scan.json')  # an interrupted run keeps its finished shapes
    plot_scan(results, out / 'scan.png', machine_line(machine))
    console.out(f'Saved {out}/scan.json and {out}/scan.png')


if __name__ == '__main__':
    run(main)
