"""A study whose lines are written by hand."""

from collections.abc import Sequence
from pathlib import Path

from transmamba_mm.study.design import Block, Regime
from transmamba_mm.study.lines import append_line
from transmamba_mm.study.study import Study

VIM = str(Path(__file__).parents[2] / 'configs/transmamba/vim-nano_deit-nano_digits.py')
LR = 'optim_wrapper.optimizer.lr'
#: Test accuracies, one per seed, by method and fraction.
CELLS = {
    ('scratch', 1): [85.0, 86.0, 87.0],
    ('wsab', 1): [86.5, 87.0, 87.5],
    ('scratch', 0.25): [83.0, 83.5, 84.0],
    ('wsab', 0.25): [86.0, 86.2, 86.4],
    ('scratch', 0.1): [80.0, 80.0, 80.0],
    ('wsab', 0.1): [84.0, 84.0, 84.0],
}
TEACHER = {'val': 88.5, 'test': 88.25}


def line(method, fraction=1, seed=0, top1: float | None = None, **others) -> dict:
    """A line of a training of 100 steps with 8 images each."""
    values = {
        'config': 'vim-nano_deit-nano_digits',
        'method': method,
        'fraction': fraction,
        'seed': seed,
        'regime': None if method == 'scratch' else 'C',
        'options': {},
        'steps': 100,
        'images': 800,
        'seconds': 90.0,
        'cpu_seconds': 60.0,
        'val_curve': [[50, 80.0], [100, 86.0]],
        'val': {'accuracy/top1': 86.0},
        'test': None if top1 is None else {'accuracy/top1': top1},
    }
    return {**values, **others}


def make_study(folder: Path, lines: Sequence[dict] | None = None) -> Study:
    """Blocks 'headline' of ``CELLS`` and 'tuning', and the lines of the first by default."""
    if lines is None:
        lines = [
            line(method, fraction, seed, test)
            for (method, fraction), values in CELLS.items()
            for seed, test in enumerate(values)
        ]
        teacher = {split: {'accuracy/top1': value} for split, value in TEACHER.items()}
        lines.append(line(None, config='deit-nano_digits', cpu_seconds=120.0, **teacher))
    for entry in lines:
        append_line(folder / 'lines.jsonl', entry)
    methods = ['scratch', 'wsab']
    return Study(
        blocks={
            'headline': Block([VIM], methods, [1, 0.25, 0.1, 0.01], [0, 1, 2]),
            'tuning': Block([VIM], methods, trials=[{LR: 1e-3}, {LR: 2e-3}], test=False),
            'converged': Block([VIM], ['scratch'], trials=[{LR: 1e-3}, {LR: 2e-3}]),
            'judged': Block([VIM], methods, [1, 0.25, 0.1], [0, 1, 2], reference='converged'),
        },
        results=str(folder / 'lines.jsonl'),
        work_dir=str(folder / 'runs'),
        regimes={'C': Regime()},
    )
