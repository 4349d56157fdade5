"""Kill and resume a training repeatedly, and compare its end with an undisturbed one."""

import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner

from transmamba_mm import compat
from transmamba_mm.atomic_file import PARTIAL
from transmamba_mm.checkpoint import load_checkpoint
from transmamba_mm.errors import UserError
from transmamba_mm.launch.resumable import make_resumable
from transmamba_mm.launch.work_dir_lock import lock_work_dir

#: What two trainings have in common if they are the same; times and folders differ.
COMPARED = ('state_dict', 'optimizer', 'param_schedulers', 'resume_state')
UNEQUAL_LOGS = ('time', 'memory', 'eta')
POLL = 2e-4  # seconds between two polls of a training to be killed while it writes
LONGEST = 300.0  # seconds without a step, after which a training is stuck


@dataclass(frozen=True)
class KilledRun:
    """A training that was killed some times and then came to its end.

    Attributes:
        kills (int): All of them.
        writing (int): Those that left a file half written.
        differences (list[str]): Where its last checkpoint is not the one of an undisturbed run.
    """

    kills: int
    writing: int
    differences: list[str]


class _Steps(Hook):
    """Shares the number of steps taken."""

    priority = 'VERY_HIGH'

    def __init__(self, taken: Any) -> None:
        self.taken = taken

    def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        self.taken.value = runner.iter


def train_undisturbed(cfg: Config, folder: Path) -> dict:
    """Train once to the end; returns the last checkpoint."""
    process, _ = _start(cfg, folder)
    process.join()
    if process.exitcode:
        raise UserError(_how_it_failed(process.exitcode, folder))
    return load_checkpoint(folder)


def kill_and_resume(
    cfg: Config, folder: Path, reference: dict, kills: int, rng: random.Random
) -> KilledRun:
    """Train, killed at random steps by SIGKILL and resumed each time, then to the end.

    Every other kill waits for a checkpoint that is being written.

    Args:
        cfg: A config with at least 20 steps.
        folder: Its work_dir, empty.
        reference: The last checkpoint of an undisturbed run.
        kills: How often; fewer if the training ends before.
        rng: Decides when.

    Raises:
        UserError: A training ended with an error; names its log.
    """
    done = writing = 0
    while True:
        process, taken = _start(cfg, folder)
        if done < kills:
            _wait(process, taken, rng.randint(1, 8), rng)
            if done % 2:
                _wait_for_partial(process, folder)
        else:
            process.join()
        process.kill()
        process.join()
        if process.exitcode == 0:
            return KilledRun(done, writing, list(differences(reference, load_checkpoint(folder))))
        if process.exitcode != -9:
            raise UserError(_how_it_failed(process.exitcode, folder))
        done += 1
        writing += any(folder.glob(f'.*{PARTIAL}'))


def differences(one: dict, other: dict) -> Iterator[str]:
    """Name every tensor, number and logged value that is not bit by bit the same."""
    for key in COMPARED:
        yield from _differences(one[key], other[key], key)
    logs = [checkpoint['message_hub']['log_scalars'] for checkpoint in (one, other)]
    for key in sorted(set(logs[0]) | set(logs[1])):
        if not any(word in key for word in UNEQUAL_LOGS):
            yield from _differences(logs[0].get(key), logs[1].get(key), f'logs.{key}')


def _differences(one: Any, other: Any, place: str) -> Iterator[str]:
    if isinstance(one, HistoryBuffer) and isinstance(other, HistoryBuffer):
        one, other = one.data[0], other.data[0]
    if type(one) is not type(other):
        yield f'{place}: {type(one).__name__}, not {type(other).__name__}'
    elif isinstance(one, dict):
        if one.keys() != other.keys():
            yield f'{place}: other keys'
        for key in one.keys() & other.keys():
            yield from _differences(one[key], other[key], f'{place}.{key}')
    elif isinstance(one, (list, tuple)):
        if len(one) != len(other):
            yield f'{place}: {len(one)}, not {len(other)} items'
        for index, pair in enumerate(zip(one, other, strict=False)):
            yield from _differences(*pair, f'{place}[{index}]')
    elif isinstance(one, torch.Tensor):
        if not torch.equal(one, other):
            yield place
    elif isinstance(one, np.ndarray):
        if not np.array_equal(one, other):
            yield place
    elif one != other:
        yield f'{place}: {one}, not {other}'


def _start(cfg: Config, folder: Path) -> tuple[Any, Any]:
    """Fork a process that trains or resumes; its parent has paid for the imports."""
    context = multiprocessing.get_context('fork')
    taken = context.Value('i', -1)
    process = context.Process(target=_train, args=(cfg, folder, taken))
    process.start()
    return process, taken


def _train(cfg: Config, folder: Path, taken: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    log = os.open(folder / 'output.log', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    torch.set_num_threads(1)
    compat.load_checkpoints_safely()
    cfg.work_dir, cfg.resume = str(folder), True
    lock = lock_work_dir(cfg)
    make_resumable(cfg)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(_Steps(taken))
    runner.train()
    if lock:
        lock.close()


def _wait(process: Any, taken: Any, steps: int, rng: random.Random) -> None:
    """Wait for some steps of a training and a part of one more."""
    first, began = None, time.monotonic()
    while process.is_alive() and (first is None or taken.value < first + steps):
        if first is None and taken.value >= 0:
            first, began = taken.value, time.monotonic()
        if time.monotonic() - began > LONGEST:
            raise UserError(f'No step of the training for {LONGEST:.0f} seconds.')
        time.sleep(POLL)
    time.sleep(rng.uniform(0, (time.monotonic() - began) / steps))


def _wait_for_partial(process: Any, folder: Path) -> None:
    names: list[str] = []
    while process.is_alive() and not any(name.endswith(PARTIAL) for name in names):
        with suppress(FileNotFoundError):
            names = os.listdir(folder)
        time.sleep(POLL)


def _how_it_failed(code: int, folder: Path) -> str:
    log = folder / 'output.log'
    last = log.read_text(errors='replace').strip().rpartition('\n')[2]
    return f'A training ended with exit code {code} ({last}). Its log: {log}'
