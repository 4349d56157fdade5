"""Run the command-line tools: ``run_*`` in a process of its own, ``call_*`` in this one."""

import contextlib
import importlib
import importlib.util
import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from mmengine.runner import CheckpointLoader

from transmamba_mm.launch.cli import run
from transmamba_mm.launch.read_config import read_config
from transmamba_mm.ops.backends import select

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


def load_tool(name: str) -> ModuleType:
    """``tools/<name>`` as a module."""
    spec = importlib.util.spec_from_file_location('tool', ROOT / 'tools' / name)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def call_tool(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    """Call ``main`` of ``tools/<command[0]>``: it need not import for ten seconds."""
    return _call(load_tool(command[0]).main, *command[1:], cwd=cwd)


def call_module(name: str, *args: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    """Call ``main`` of a module of this repository, or of a package's ``__main__``."""
    return _call(importlib.import_module(name).main, *args, cwd=cwd)


def _call(main: Callable, *args: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    argv, code, threads = list(map(str, args)), 0, torch.get_num_threads()
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        # What the tools set for their whole process.
        patch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
        patch.setattr(select, '_default', select._default)
        torch.set_num_threads(1)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                run(lambda: main(argv))
        except SystemExit as stop:  # sys.exit(text) prints the text and returns 1
            code = 1 if isinstance(stop.code, str) else stop.code or 0
            err.write(f'{stop.code}\n' if isinstance(stop.code, str) else '')
        finally:
            torch.set_num_threads(threads)
            logging.disable(logging.NOTSET)
    return subprocess.CompletedProcess(argv, code, out.getvalue(), err.getvalue())


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
