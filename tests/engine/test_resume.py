"""A training stopped anywhere resumes bit-identically."""

import os
import signal
from pathlib import Path

import pytest
import torch

from tests.engine.noisy_run import At, fail, terminate, train
from tests.forked import in_fork
from transmamba_mm.checkpoint import load_checkpoint
from transmamba_mm.study.kill_resume import differences

LOOPS = ['iter', 'epoch']
SLOW = pytest.mark.slow
LOADERS = [(0, False), pytest.param(2, False, marks=SLOW), pytest.param(2, True, marks=SLOW)]


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    """The last checkpoint of each loop's training, whatever loads the data."""
    found = {}
    for loop in LOOPS:
        folder = tmp_path_factory.mktemp(loop)
        assert in_fork(train, folder, loop) == 0
        found[loop] = load_checkpoint(folder)
    return found


@pytest.mark.parametrize('loop', LOOPS)
@pytest.mark.parametrize(('workers', 'persistent'), LOADERS)
@pytest.mark.parametrize('phase', ['train', 'val'])
def test_a_stopped_training_goes_on_exactly(
    tmp_path, undisturbed, loop, workers, persistent, phase
):
    loader = {'workers': workers, 'persistent': persistent}
    stop = At(terminate, 8 if phase == 'val' else 10, phase)
    assert in_fork(train, tmp_path, loop, stop, **loader) == -signal.SIGTERM
    saved = load_checkpoint(tmp_path)
    assert saved['meta']['iter'] == (8 if phase == 'val' else 11)
    assert in_fork(train, tmp_path, loop, **loader) == 0
    assert list(differences(undisturbed[loop], load_checkpoint(tmp_path))) == []


@SLOW
@pytest.mark.parametrize('loop', LOOPS)
def test_stopped_at_every_step(tmp_path, undisturbed, loop):
    for step in range(14):
        assert in_fork(train, tmp_path, loop, At(terminate, step)) == -signal.SIGTERM
    assert in_fork(train, tmp_path, loop) == 0
    assert list(differences(undisturbed[loop], load_checkpoint(tmp_path))) == []


def test_the_stop_is_logged_and_ctrl_c_is_a_stop_too(tmp_path):
    stop = At(lambda: terminate(signal.SIGINT), 4)
    assert in_fork(train, tmp_path, 'iter', stop) == -signal.SIGINT
    log = next(tmp_path.rglob('*.log')).read_text()
    assert 'Stopped by SIGINT' in log and f'{tmp_path}/iter_5.pth is saved' in log


def stopped_with_its_workers(folder: Path) -> None:
    os.setsid()  # a group of its own
    stop = At(lambda: os.killpg(0, signal.SIGTERM), 4)
    train(folder, 'iter', stop, workers=2)


def test_a_stop_of_the_whole_job_reaches_the_workers_too(tmp_path):
    assert in_fork(stopped_with_its_workers, tmp_path) == -signal.SIGTERM
    assert load_checkpoint(tmp_path)['meta']['iter'] == 5


@pytest.mark.parametrize('loop', LOOPS)
def test_a_validation_that_fails_leaves_the_step_before_it(tmp_path, undisturbed, loop):
    step = 4 if loop == 'iter' else 8  # of the first validation
    rare = {'type': 'CheckpointHook', 'by_epoch': loop == 'epoch', 'interval': 99}
    hooks = {'default_hooks': {'checkpoint': rare}}
    assert in_fork(train, tmp_path, loop, At(fail, step, 'val'), **hooks) == 1
    assert load_checkpoint(tmp_path)['meta']['iter'] == step
    assert in_fork(train, tmp_path, loop) == 0
    assert list(differences(undisturbed[loop], load_checkpoint(tmp_path))) == []


def test_a_step_that_fails_is_not_saved(tmp_path):
    class FailInStep(At):
        priority = 'LOWEST'  # after the hook that saves: the step has begun

    assert in_fork(train, tmp_path, 'iter', FailInStep(fail, 5)) == 1
    assert load_checkpoint(tmp_path)['meta']['iter'] < 5


def test_averaged_weights_survive_a_stop_in_the_validation(tmp_path):
    average = {'type': 'EMAHook', 'momentum': 0.3}
    hooks = {'default_hooks': {'ema': average}}
    assert in_fork(train, tmp_path / 'whole', 'iter', **hooks) == 0
    stop = At(terminate, 8, 'val')
    assert in_fork(train, tmp_path / 'stopped', 'iter', stop, **hooks) == -signal.SIGTERM
    assert in_fork(train, tmp_path / 'stopped', 'iter', **hooks) == 0
    whole, stopped = (load_checkpoint(tmp_path / name) for name in ('whole', 'stopped'))
    assert list(differences(whole, stopped)) == []
    averaged = (whole['ema_state_dict'], stopped['ema_state_dict'])
    assert all(torch.equal(averaged[0][key], averaged[1][key]) for key in averaged[0])


def test_a_seed_that_nobody_chose_goes_on_too(tmp_path):
    """The order of the data comes from the checkpoint, as the seed is another in each process."""
    free = {'randomness': {'seed': None}}
    assert in_fork(train, tmp_path, 'iter', At(terminate, 2), **free) == -signal.SIGTERM
    seed = load_checkpoint(tmp_path)['resume_state']['sampler_seed']
    assert in_fork(train, tmp_path, 'iter', **free) == 0
    last = load_checkpoint(tmp_path)
    assert last['resume_state']['sampler_seed'] == last['meta']['seed'] == seed
