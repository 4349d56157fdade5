"""Run a part of a test in a process of its own, which may be killed."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import torch

SECONDS = 240  # after which it is stuck


def start_fork(work: Callable, *args, **kwargs):
    """Fork a process that calls ``work``; it has imported all that the test has."""
    process = multiprocessing.get_context('fork').Process(
        target=_run, args=(work, args, kwargs), daemon=False
    )
    process.start()
    return process


def in_fork(work: Callable, *args, **kwargs) -> int:
    """Call ``work`` in a fork and return its exit code, -15 if it died of SIGTERM."""
    return join(start_fork(work, *args, **kwargs))


def join(process) -> int:
    """Wait for a fork and return its exit code."""
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        raise AssertionError('the process has not finished')
    return process.exitcode


def partial_files(folder: Path) -> list[Path]:
    return list(folder.glob('.*.partial'))


def _run(work: Callable, args: tuple, kwargs: dict) -> None:
    torch.set_num_threads(1)
    work(*args, **kwargs)
