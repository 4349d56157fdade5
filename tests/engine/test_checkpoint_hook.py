"""The files of a work_dir while and after a training saves."""

import os
import resource
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from tests.engine.noisy_run import At, noisy_runner, train
from tests.forked import in_fork, partial_files
from transmamba_mm.checkpoint import load_checkpoint, newest_checkpoint
from transmamba_mm.errors import UserError


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    assert in_fork(train, folder, 'iter') == 0
    return folder


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob('*.pth'))


def test_two_are_kept_and_the_best(trained):
    best, *last = checkpoints(trained)
    assert last == ['iter_12.pth', 'iter_14.pth'] and best.startswith('best_score_iter_')
    assert (trained / 'last_checkpoint').read_text() == str(trained / 'iter_14.pth')
    assert not partial_files(trained)


class Watch(Hook):
    """Notes what is on the disk whenever a checkpoint is about to be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def before_save_checkpoint(self, runner, checkpoint):
        whole = [name for name in checkpoints(self.folder) if name.startswith('iter')]
        best = [name for name in checkpoints(self.folder) if name.startswith('best')]
        with (self.folder / 'seen').open('a') as seen:
            seen.write(f'{len(whole)} {len(best)}\n')


def test_the_old_one_is_there_until_the_new_one_is(tmp_path):
    one = {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 1, 'max_keep_ckpts': 1}
    one |= {'save_best': 'score', 'rule': 'greater'}
    hooks = {'default_hooks': {'checkpoint': one}}
    assert in_fork(train, tmp_path, 'iter', Watch(tmp_path), **hooks) == 0
    first, *rest = [line.split() for line in (tmp_path / 'seen').read_text().splitlines()]
    assert first == ['0', '0'] and {whole for whole, _ in rest} == {'1'}
    bests = [best for _, best in rest]
    assert set(bests[bests.index('1') :]) == {'1'}
    assert len(checkpoints(tmp_path)) == 2


def fill_the_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


def test_a_full_disk_leaves_the_last_good_one(tmp_path):
    assert in_fork(train, tmp_path, 'iter', At(fill_the_disk, 10)) == 1
    assert newest_checkpoint(tmp_path, ('optimizer',)) == tmp_path / 'iter_9.pth'
    assert checkpoints(tmp_path)[-2:] == ['iter_6.pth', 'iter_9.pth']
    assert not partial_files(tmp_path)
    assert in_fork(train, tmp_path, 'iter') == 0


def test_weights_alone_are_not_resumed(trained, tmp_path):
    best = next(trained.glob('best_*.pth'))
    runner = noisy_runner(tmp_path, 'iter', load_from=str(best))
    with pytest.raises(UserError, match=r'lacks optimizer.*load_from'):
        runner.train()


def test_text_in_a_checkpoint_is_not_executed(trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (tmp_path / 'last_checkpoint').unlink()
    file, trace = tmp_path / 'iter_12.pth', tmp_path / 'ran'
    (tmp_path / 'iter_14.pth').unlink()
    checkpoint = load_checkpoint(file)
    text = f'import os\nos.mkdir({str(trace)!r})'
    checkpoint['meta'] |= {'config': text, 'cfg': text}
    torch.save(checkpoint, file)
    assert in_fork(train, tmp_path, 'iter') == 0
    assert load_checkpoint(tmp_path)['meta']['iter'] == 14
    assert not trace.exists()


def test_one_process_more_goes_on_with_a_warning(trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    file = tmp_path / 'iter_12.pth'
    checkpoint = load_checkpoint(file)
    checkpoint['resume_state']['random_states'] *= 2
    torch.save(checkpoint, file)
    os.remove(tmp_path / 'iter_14.pth')
    assert in_fork(train, tmp_path, 'iter') == 0
    logs = ''.join(log.read_text() for log in tmp_path.rglob('*.log'))
    assert 'is of 2 processes, this training of 1' in logs
