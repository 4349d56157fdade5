"""What a training left out is said after each epoch and at the end."""

import logging

import pytest
import torch
from mmengine.dataset import BaseDataset, ConcatDataset
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image
from torch import nn

from tests.datasets.video.clips import bad_videos, write_clip
from tests.engine.tiny_run import tiny_runner
from transmamba_mm.engine import BadItemHook


class Mean(BaseModel):
    """One weight, times the mean of the clips."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return {'loss': self.weight * torch.stack(list(inputs)).float().mean()}


class Videos(BaseDataset):
    def __init__(self, paths: list[str]) -> None:
        self.paths = paths
        decode = {'type': 'DecodeVideo', 'num_frames': 2, 'size': (8, 8)}
        super().__init__(pipeline=[decode, {'type': 'PackClip'}])

    def load_data_list(self):
        return [{'video_path': path, 'video_id': path} for path in self.paths]


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('transmamba_mm')


@pytest.fixture
def told(caplog):
    return lambda: [
        line.getMessage() for line in caplog.records if 'train data could not' in line.getMessage()
    ]


def train(work_dir, dataset, caplog, workers: int) -> Runner:
    loader = {
        'batch_size': 4,
        'num_workers': workers,
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        'dataset': dataset,
    }
    runner = tiny_runner(work_dir, BadItemHook(), model=Mean())
    runner._train_dataloader = runner.build_dataloader(loader)
    runner.logger.addHandler(caplog.handler)
    with caplog.at_level(logging.WARNING):
        runner.train()
    return runner


@pytest.mark.parametrize('workers', [0, 2])
def test_counts_of_the_workers_are_told(tmp_path, caplog, told, workers):
    good = [str(write_clip(tmp_path / f'{i}.mp4', 4)) for i in range(6)]
    bad = bad_videos(tmp_path)
    dataset = Videos([*good, str(bad['empty']), str(bad['truncated'])])
    runner = train(tmp_path / 'run', dataset, caplog, workers)
    total = runner.train_dataloader.dataset.pipeline.transforms[0].bad_items.total
    assert total >= 4  # two in each of two epochs, and perhaps again in place of one of them
    first, second, last = told()
    assert 'since the last count' in first and f'({total} in all)' in second
    assert f'In all, {total} times' in last and 'check_videos.py' in last


class Pictures(BaseDataset):
    def __init__(self, paths: list[str]) -> None:
        self.paths = paths
        pack = {'type': 'PackInputs', 'meta_keys': ['img_path']}
        super().__init__(pipeline=[{'type': 'LoadImage'}, pack])

    def load_data_list(self):
        return [{'img_path': path} for path in self.paths]


def test_images_are_told_apart_from_videos(tmp_path, caplog, told):
    Image.new('RGB', (8, 8)).save(tmp_path / 'good.png')
    good, absent = str(tmp_path / 'good.png'), str(tmp_path / 'absent.png')
    parts = [Pictures([good, good, good, absent]), Pictures([good, absent, good, good])]
    runner = train(tmp_path / 'run', ConcatDataset(parts), caplog, 0)
    steps = [part.pipeline.transforms[0] for part in runner.train_dataloader.dataset.datasets]
    total = sum(step.bad_items.total for step in steps)
    assert total >= 4
    *_, last = told()
    assert last == (
        f'In all, {total} times an image of the train data could not be read. The first are named '
        'above.'
    )
    assert not any('a video' in text for text in told())


def test_good_videos_are_not_spoken_of(tmp_path, caplog, told):
    dataset = Videos([str(write_clip(tmp_path / 'good.mp4', 4))])
    train(tmp_path / 'run', dataset, caplog, 0)
    assert not told()
