"""How much data does a transfer save? Methods x fractions of the data x seeds, at equal steps.

Example:
    python tools/analysis/data_efficiency.py configs/transmamba/vim-nano_deit-nano_digits.py \\
        --fractions 1 0.75 0.5 0.25 0.1 --seeds 0 1 2

Everything goes to work_dirs/<config>_study; running it again goes on where it stopped.
"""

import argparse
from pathlib import Path

from rich.console import Console

from transmamba_mm.launch.cli import ConfigOptions, HelpFormatter, run
from transmamba_mm.study.data_efficiency import DataEfficiencyStudy, Record, metric_of, with_metric
from transmamba_mm.study.figures import plot_accuracy
from transmamba_mm.study.table import markdown_table, summary_sentence


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('config', help='a config of configs/transmamba/')
    parser.add_argument(
        '--fractions',
        type=float,
        nargs='+',
        default=[1, 0.75, 0.5, 0.25, 0.1],
        help='shares of the training data',
    )
    parser.add_argument(
        '--seeds', type=int, nargs='+', default=[0, 1, 2], help='a training of each'
    )
    parser.add_argument(
        '--methods',
        nargs='+',
        default=['scratch', 'logits', 'wsab'],
        help='names or files, as --method of tools/train.py takes them',
    )
    parser.add_argument(
        '--metrics',
        nargs='+',
        default=[],
        help='compare these, such as vqa/accuracy_not_yes_no; the first is drawn. Default: the one '
        "that chooses the config's best checkpoint",
    )
    parser.add_argument('--work-dir', help='default: work_dirs/<config>_study')
    parser.add_argument('--jobs', type=int, help='trainings at once; default: one per core')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        default={},
        help='change an entry in every config of the student that has it',
    )
    return parser.parse_args(argv)


def _report(study: DataEfficiencyStudy, records: list[Record], metric: str) -> str:
    """The table of one metric and what it says."""
    parts = [f'### {metric}', markdown_table(records)]
    if {'wsab', 'scratch'} <= set(study.methods):
        parts.append(summary_sentence(records))
    teacher = study.teacher_metrics().get(metric)
    if teacher is not None:
        parts.append(f'The teacher reaches {teacher:.2f}.')
    return '\n\n'.join(parts)


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then print the table and draw it."""
    args = parse_args(argv)
    console = Console()
    work_dir = Path(args.work_dir or f'work_dirs/{Path(args.config).stem}_study')
    study = DataEfficiencyStudy(
        config=args.config,
        fractions=args.fractions,
        seeds=args.seeds,
        work_dir=str(work_dir),
        methods=args.methods,
        options=args.cfg_options,
    )
    records = study.run(args.jobs, console)
    default = metric_of(study.load(args.methods[0]))
    metrics = args.metrics or [default]
    reports = [_report(study, with_metric(records, metric), metric) for metric in metrics]
    (work_dir / 'table.md').write_text('\n\n'.join(reports) + '\n')
    plot_accuracy(with_metric(records, metrics[0]), work_dir / 'accuracy.png', metrics[0])
    print(f'\nAfter {records[0].steps} steps, %, mean ± std of {len(args.seeds)} seed(s)\n')
    print('\n\n'.join(reports))
    print(f'\nTable, records and figure are in {work_dir}')


if __name__ == '__main__':
    run(main)
