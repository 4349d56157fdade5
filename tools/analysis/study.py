"""Run a study block by block, each training once, and draw its tables and figures.

Example:
    python tools/analysis/study.py configs/studies/fashionmnist.py first headline --jobs 2
    python tools/analysis/study.py configs/studies/fashionmnist.py --report README.md

It may be stopped at any time: the same command continues. Every finished training is a line of the
file that the study names; tables and figures are drawn from those lines alone.
"""

import argparse
from pathlib import Path

from rich.console import Console

from transmamba_mm.launch.cli import HelpFormatter, run
from transmamba_mm.study.report import draw_figures, fill
from transmamba_mm.study.study import Study
from transmamba_mm.study.table import accuracy_table, split_of


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('study', help='a file of configs/studies/')
    parser.add_argument('blocks', nargs='*', help='in this order; none: what is left of each')
    parser.add_argument('--jobs', type=int, help='trainings at once; default: one per core')
    parser.add_argument(
        '--report',
        nargs='*',
        metavar='FILE.md',
        help="do not train: rewrite these files' parts and the study's figures",
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Run what is missing and print the tables, or write the reports."""
    args = parse_args(argv)
    console = Console(soft_wrap=True)
    study = Study.from_file(args.study)
    if args.report is not None:
        for name in args.report:
            file = Path(name)
            file.write_text(fill(file.read_text()))
        draw_figures(study)
        return
    blocks = args.blocks or list(study.blocks)
    runs, done = study.runs(blocks), study.all_lines()
    left = sum(run.key not in done for run in runs)
    console.print(f'{left} of {len(runs)} trainings are left.')
    study.run(blocks, args.jobs, console)
    for block in blocks:
        print(f'\n{block}, {split_of(study, block)}, %\n\n{accuracy_table(study, block)}')


if __name__ == '__main__':
    run(main)
