"""One training in one work_dir."""

import os
import time

import pytest
from mmengine.config import Config

from tests.forked import in_fork, start_fork
from transmamba_mm.errors import UserError
from transmamba_mm.launch.work_dir_lock import LOCK, lock_work_dir


def hold(cfg) -> None:
    lock = lock_work_dir(cfg)
    if os.fork() == 0:  # a worker that outlives its parent
        time.sleep(20)
        os._exit(0)
    time.sleep(100)
    lock.close()


def refused(cfg) -> None:
    with pytest.raises(UserError, match=rf'{cfg.work_dir} is in use.*process \d+ on .*--work-dir'):
        lock_work_dir(cfg)


def granted(cfg) -> None:
    assert lock_work_dir(cfg) is not None


def test_the_second_is_refused_until_the_first_is_dead(tmp_path):
    cfg = Config({'work_dir': str(tmp_path / 'run'), 'launcher': 'none'})
    first = start_fork(hold, cfg)
    deadline = time.monotonic() + 60
    while not (tmp_path / 'run' / LOCK).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    assert in_fork(refused, cfg) == 0
    first.kill()
    # Not Process.join, which waits for the worker, too.
    assert os.waitstatus_to_exitcode(os.waitpid(first.pid, 0)[1]) == -9
    assert in_fork(granted, cfg) == 0


def test_only_the_main_process_of_a_launch_locks(tmp_path, monkeypatch):
    monkeypatch.setenv('RANK', '1')
    assert lock_work_dir(Config({'work_dir': str(tmp_path), 'launcher': 'pytorch'})) is None
    assert not (tmp_path / LOCK).exists()
