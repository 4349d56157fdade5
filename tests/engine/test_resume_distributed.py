"""Two processes stop at the same step, and both resume with their own random numbers."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.engine.noisy_run import At, noisy_runner, terminate
from tests.forked import join, start_fork
from transmamba_mm.checkpoint import load_checkpoint
from transmamba_mm.study.kill_resume import differences

pytestmark = pytest.mark.slow


def train_rank(rank: int, folder: Path, meeting: Path, stop: tuple[int, int, str] | None) -> None:
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{meeting}', rank=rank, world_size=2
    )
    os.environ['LOCAL_RANK'] = str(rank)
    hooks = [At(terminate, *stop[1:])] if stop and stop[0] == rank else []
    if stop and stop[0] != rank and stop[2] == 'val':
        # waiting for its peer, it might end by gloo's error before the launcher kills it
        hooks = [At(partial(time.sleep, 600), *stop[1:])]
    wrapper = {'type': 'MMDistributedDataParallel', 'device_ids': None}
    cfg = {'model_wrapper_cfg': wrapper}
    noisy_runner(folder, 'iter', *hooks, launcher='pytorch', cfg=cfg).train()
    os._exit(0)  # gloo's threads may keep an interpreter from its end


def on_both(folder: Path, meeting: Path, stop: tuple[int, int, str] | None = None) -> list[int]:
    processes = [start_fork(train_rank, rank, folder, meeting, stop) for rank in range(2)]
    codes = []
    for process in processes:
        if stop and stop[2] == 'val' and codes:
            process.kill()  # as a launcher does when a process has ended
        codes.append(join(process))
    return codes


@pytest.mark.parametrize('stop', [(0, 5, 'train'), (1, 5, 'train'), (0, 8, 'val')], ids=str)
def test_two_processes_go_on_exactly(tmp_path, stop):
    assert on_both(tmp_path / 'whole', tmp_path / 'a') == [0, 0]
    codes = on_both(tmp_path / 'stopped', tmp_path / 'b', stop)
    assert codes == [-signal.SIGTERM, -signal.SIGKILL if stop[2] == 'val' else -signal.SIGTERM]
    stopped = load_checkpoint(tmp_path / 'stopped')
    assert stopped['meta']['iter'] == (8 if stop[2] == 'val' else 6)
    assert len(stopped['resume_state']['random_states']) == 2
    assert on_both(tmp_path / 'stopped', tmp_path / 'c') == [0, 0]
    whole, stopped = (load_checkpoint(tmp_path / name) for name in ('whole', 'stopped'))
    assert list(differences(whole, stopped)) == []
