"""Transfer a DeiT into a Vim, end to end, on real data without a download.

Trains a small DeiT on scikit-learn's handwritten digits, then the same Vim three ways (from
scratch, with the teacher's logits only, and with weight subcloning plus adaptive bidirectional
distillation) on all, a quarter and a tenth of the images, and shows what the transfer is worth.

Example:
    python tools/demo.py

Under five minutes on two cores. What is finished is not run again.
"""

import argparse
import shutil
import time
from pathlib import Path

from rich.console import Console

from transmamba_mm.apis.layer_similarity import compare_layers
from transmamba_mm.launch.cli import HelpFormatter, run
from transmamba_mm.study.design import Block, Regime
from transmamba_mm.study.figures import plot_accuracy, plot_curves, plot_similarity
from transmamba_mm.study.study import Study
from transmamba_mm.study.study_figures import plot_weights_over_time
from transmamba_mm.study.table import accuracy_table, teacher_text

CONFIG = Path(__file__).parents[1] / 'configs/transmamba/vim-nano_deit-nano_digits.py'
#: Steps of a student: fewer than its config has, so that ten trainings fit into five minutes.
STUDENT_STEPS = 300
#: With ``--quick``: enough to run every part, too few for good numbers.
QUICK_TEACHER_STEPS, QUICK_STUDENT_STEPS = 100, 50
METHODS = ['scratch', 'logits', 'wsab']
FRACTIONS = [1, 0.25, 0.1]
FILES = {
    'table.md': 'the table above',
    'accuracy.png': 'accuracy against data',
    'training.png': 'training curves',
    'similarity.png': 'which teacher layer each student layer resembles',
    'layer_weights.png': 'adaptive layer weights over time',
    'transfer_report.json': 'where every weight of the student came from',
    'runs': 'logs and checkpoints',
}


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('--work-dir', help='default: work_dirs/demo, or work_dirs/demo-quick')
    parser.add_argument('--jobs', type=int, help='trainings at once; default: one per core')
    parser.add_argument(
        '--quick', action='store_true', help='a tenth of the steps: a check, not a result'
    )
    return parser.parse_args(argv)


def schedule(steps: int) -> dict:
    """Options for a training of ``steps`` steps."""
    return {'train_cfg.max_iters': steps, 'train_cfg.val_interval': steps // 5}


def main(argv: list[str] | None = None) -> None:
    """Train what is missing, print the table, write the figures."""
    args = parse_args(argv)
    started = time.perf_counter()
    console = Console(highlight=False)
    work_dir = Path(args.work_dir or ('work_dirs/demo-quick' if args.quick else 'work_dirs/demo'))
    console.print('A DeiT becomes a Vim on handwritten digits: one teacher, then nine students.')
    if args.quick:
        console.print(
            f'Quick: {QUICK_STUDENT_STEPS} steps. It shows that all works, and no accuracy.'
        )
    study = Study(
        blocks={'demo': Block([str(CONFIG)], METHODS, FRACTIONS)},
        results=str(work_dir / 'lines.jsonl'),
        work_dir=str(work_dir / 'runs'),
        regimes={'A': Regime(schedule(QUICK_TEACHER_STEPS) if args.quick else {})},
        options={
            'model.teacher.checkpoint': str(work_dir / 'teacher'),
            **schedule(QUICK_STUDENT_STEPS if args.quick else STUDENT_STEPS),
        },
    )
    lines = study.run(['demo'], args.jobs, console)
    console.print('Drawing the figures.')
    draw(study, work_dir)
    table = accuracy_table(study, 'demo')
    (work_dir / 'table.md').write_text(f'{table}\n')
    console.print(
        f'\nTest accuracy, %, after {lines[0]["steps"]} steps each. '
        f'{teacher_text(study, "demo")} One image is 0.28.\n\n{table}\n',
        soft_wrap=True,
    )
    for name, meaning in FILES.items():
        console.print(f'{work_dir / name}: {meaning}', soft_wrap=True)
    console.print(f'{time.perf_counter() - started:.0f} s.')


def draw(study: Study, work_dir: Path) -> None:
    """Write the figures and put the transfer's report beside them."""
    folders = {
        run.method: Path(study.job(run, None).work_dir)
        for run in study.runs(['demo'])
        if run.fraction == 1
    }
    plot_accuracy(study, 'demo', work_dir / 'accuracy.png')
    plot_curves(study, 'demo', work_dir / 'training.png')
    plot_weights_over_time(folders['wsab'], work_dir / 'layer_weights.png')
    students = {f'{method}, all data': str(folder) for method, folder in folders.items()}
    cfg = study.config(str(CONFIG), 'wsab')
    plot_similarity(compare_layers(cfg, students), work_dir / 'similarity.png')
    report = max(folders['wsab'].glob('*/transfer_report.json'))
    shutil.copy(report, work_dir / 'transfer_report.json')


if __name__ == '__main__':
    run(main)
