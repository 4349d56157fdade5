"""A full disk: one message with the file and the fix, whatever was being written."""

import logging
import os
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from tests.engine.noisy_run import At
from tests.engine.tiny_run import tiny_runner
from tests.forked import in_fork
from transmamba_mm.launch.cli import run

FULL = '/dev/full'
pytestmark = pytest.mark.skipif(not Path(FULL).exists(), reason=f'{FULL} is of Linux')


def message(folder: Path, main, code: int = 1) -> str:
    """The only output of a tool with this ``main``."""
    errors = folder / 'stderr'
    assert in_fork(_as_tool, errors, main) == code
    text = errors.read_text()
    assert 'Traceback' not in text and 'Logging error' not in text, text
    found = [line for line in text.splitlines() if line.startswith('error: ')]
    assert len(found) == (code == 1), text
    return found[0] if found else ''


def _as_tool(errors: Path, main) -> None:
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
    sys.stderr = os.fdopen(2, 'w')
    run(main)


def limit_log(folder: Path) -> None:
    """No file may become larger than the log is: the next line has no room."""
    size = next(folder.rglob('*.log')).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def fill_scalars(folder: Path) -> None:
    """The next numbers go to a disk without room."""
    (file,) = folder.rglob('scalars.json')
    file.unlink()
    file.symlink_to(FULL)


def train(folder: Path, fill) -> None:
    hooks = {'logger': {'type': 'LoggerHook', 'interval': 1}, 'checkpoint': None}
    tiny_runner(folder, At(partial(fill, folder), 3), default_hooks=hooks).train()


@pytest.mark.parametrize(('fill', 'file'), [(limit_log, '.log'), (fill_scalars, 'scalars.json')])
def test_a_training_that_cannot_log(tmp_path, fill, file):
    said = message(tmp_path, partial(train, tmp_path / 'run', fill))
    (path,) = (tmp_path / 'run').rglob(f'*{file}')
    assert str(path) in said and 'ree some space' in said


def write_text() -> None:
    Path(FULL).write_text('x')


def log_to(file: str) -> None:
    handler = logging.FileHandler(file)
    handler.handle(logging.LogRecord('any', logging.INFO, '', 0, 'a line', None, None))


def in_full_folder() -> None:
    raise OSError(28, 'No space left on device', '/dev/a/folder')


@pytest.mark.parametrize('main', [write_text, partial(log_to, FULL), in_full_folder])
def test_any_file(tmp_path, main):
    said = message(tmp_path, main)
    assert ('/dev/a/folder' if main is in_full_folder else FULL) in said
    assert 'No space left' in said and 'ree some space' in said


@pytest.mark.parametrize(('how', 'unbuffered'), [('print', '1'), ('print', ''), ('logging', '')])
def test_output_that_has_no_room(how, unbuffered):
    code = (
        'import logging, sys; from transmamba_mm.launch.cli import run; '
        "logger = logging.getLogger('any'); logger.addHandler(logging.StreamHandler(sys.stdout)); "
        f'run(lambda: {"print" if how == "print" else "logger.warning"}("a line"))'
    )
    with open(FULL, 'w') as full:
        done = subprocess.run(
            [sys.executable, '-c', code],
            env={**os.environ, 'PYTHONUNBUFFERED': unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr.startswith('error: <stdout> could not be written (No space left')
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_has_enough():
    """A closed pipe, as with ``print_config.py ... | head``."""
    code = "from transmamba_mm.launch.cli import run; run(lambda: print('line\\n' * 10**5))"
    with subprocess.Popen(
        [sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b'line\n'
        process.stdout.close()
        assert process.stderr.read() == b'' and process.wait() == 1


class Large(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.zeros(10_000)


def load_a_batch() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))  # of files in /dev/shm, too
    next(iter(DataLoader(Large(), batch_size=4, num_workers=1)))


def test_shared_memory_that_has_no_room_for_a_batch(tmp_path):
    said = message(tmp_path, load_a_batch)
    assert '/dev/shm' in said and 'num_workers' in said
