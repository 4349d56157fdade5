"""Run the command-line tools as a user does: another process, another folder."""

import os
import subprocess
import sys
from pathlib import Path

from transmamba_mm.launch.read_config import read_config

ROOT = Path(__file__).parents[2]
LEAF = ROOT / 'configs/transmamba/vim-nano_deit-nano_digits.py'
TINY = """
_base_ = '{base}'
model = dict({changes})
param_scheduler = []
train_cfg = dict(max_iters={steps}, val_interval={steps})
default_hooks = dict(checkpoint=dict(interval=2), logger=dict(interval=1))
"""
TINY_STUDENT = (
    'backbone=dict(arch=dict(_delete_=True, embed_dims=16, num_layers=2, state_dims=4)), '
    'head=dict(in_channels=16)'
)


def write_config(folder: Path, leaf: str, changes: str = '', steps: int = 4) -> Path:
    """Write a config that inherits one of the digits' leaves from outside the repository."""
    file = folder / f'{Path(leaf).parent}.py'
    file.write_text(TINY.format(base=f'transmamba_mm::{leaf}', changes=changes, steps=steps))
    return file


def write_scratch(folder: Path, changes: str = '', steps: int = 4) -> Path:
    """Write ``scratch.py``: the student of the digits' leaf without its teacher."""
    (folder / '_base_').mkdir()
    read_config(LEAF, method='scratch').dump(str(folder / '_base_/student.py'))
    file = folder / 'scratch.py'
    file.write_text(TINY.format(base='_base_/student.py', changes=changes, steps=steps))
    return file


def run_tool(*command: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    """Run ``tools/<command[0]>``; a .sh by bash, anything else by this Python."""
    tool = ROOT / 'tools' / command[0]
    program = ['bash'] if tool.suffix == '.sh' else [sys.executable]
    return _run(*program, tool, *command[1:], cwd=cwd, **env)


def run_module(name: str, *args: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    """Run ``python -m name`` of this repository."""
    path = f'{ROOT}:{os.environ.get("PYTHONPATH", "")}'
    return _run(sys.executable, '-m', name, *args, cwd=cwd, PYTHONPATH=path)


def _run(*command: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PATH': path, **env},
        capture_output=True,
        text=True,
    )
