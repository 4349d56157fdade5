"""The tested runs: every leaf, and every method over one leaf of each student and data."""

from pathlib import Path

from mmengine.config import Config

from transmamba_mm.errors import UserError
from transmamba_mm.launch.method import DEFAULT, methods
from transmamba_mm.launch.read_config import read_config

CONFIGS = Path(__file__).parents[2] / 'configs'
LEAVES = sorted(
    leaf for name in ('transmamba', 'teachers') for leaf in CONFIGS.glob(f'{name}/*.py')
)
TRANSFERS = [leaf for leaf in LEAVES if leaf.parent.name == 'transmamba']
METHODS = sorted(methods(LEAVES[0]))
#: Students whose blocks take parts of a teacher layer (the method 'gates'); others are refused.
GATED = ('vim', 'videomamba', 'plainmamba')
#: A leaf, and a method other than its own or None.
Run = tuple[Path, str | None]


def load(run: Run) -> Config:
    """The config of a run."""
    return read_config(run[0], method=run[1])


def run_id(run: Run) -> str:
    """A name for a test."""
    leaf, method = run
    return f'{leaf.parent.name}/{leaf.stem}' + (f'-{method}' if method else '')


def fits(run: Run) -> bool:
    """Whether the method changes the leaf."""
    try:
        load(run)
    except UserError:
        return False
    return run[1] != 'gates' or run[0].stem.partition('-')[0] in GATED


def runs_of(pattern: str) -> list[Run]:
    """Leaves whose names match, plain, and each method that changes them."""
    found: list[Run] = []
    for leaf in (leaf for leaf in LEAVES if leaf.match(pattern)):
        changed = [(leaf, name) for name in METHODS if name != DEFAULT]
        found += [(leaf, None), *(run for run in changed if leaf in TRANSFERS and fits(run))]
    return found
