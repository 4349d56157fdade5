"""Skipped samples are reported after each epoch and at the end of training."""

import logging

import pytest
import torch
from mmengine.dataset import BaseDataset, ConcatDataset
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image
from torch import nn

from tests.datasets.video.clips import bad_videos, write_clip
from tests.engine.tiny_run import TinyModel, tiny_runner
from transmamba_mm.engine import CorruptSampleHook
from transmamba_mm.errors import UserError


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
def reports(caplog):
    return lambda: [
        line.getMessage() for line in caplog.records if 'of the train data' in line.getMessage()
    ]


def train(work_dir, dataset, caplog, workers: int) -> Runner:
    loader = {
        'batch_size': 4,
        'num_workers': workers,
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        'dataset': dataset,
    }
    runner = tiny_runner(work_dir, CorruptSampleHook(), model=Mean())
    runner._train_dataloader = runner.build_dataloader(loader)
    runner.logger.addHandler(caplog.handler)
    with caplog.at_level(logging.WARNING):
        runner.train()
    return runner


@pytest.mark.parametrize('workers', [0, 2])
def test_counts_of_the_workers_are_reported(tmp_path, caplog, reports, workers):
    good = [str(write_clip(tmp_path / f'{i}.mp4', 4)) for i in range(6)]
    bad = bad_videos(tmp_path)
    dataset = Videos([*good, str(bad['empty']), str(bad['truncated'])])
    runner = train(tmp_path / 'run', dataset, caplog, workers)
    total = runner.train_dataloader.dataset.pipeline.transforms[0].skipped.total
    assert total >= 4  # two in each of two epochs, and perhaps again in place of one of them
    first, second, last = reports()
    assert 'since the last report' in first and f'({total} in total)' in second
    assert f'Skipped {total} unreadable videos' in last and 'check_videos.py' in last


class Pictures(BaseDataset):
    def __init__(self, paths: list[str]) -> None:
        self.paths = paths
        pack = {'type': 'PackInputs', 'meta_keys': ['img_path']}
        super().__init__(pipeline=[{'type': 'LoadImage'}, pack])

    def load_data_list(self):
        return [{'img_path': path} for path in self.paths]


def test_images_are_counted_apart_from_videos(tmp_path, caplog, reports):
    Image.new('RGB', (8, 8)).save(tmp_path / 'good.png')
    good, absent = str(tmp_path / 'good.png'), str(tmp_path / 'absent.png')
    parts = [Pictures([good, good, good, absent]), Pictures([good, absent, good, good])]
    runner = train(tmp_path / 'run', ConcatDataset(parts), caplog, 0)
    steps = [part.pipeline.transforms[0] for part in runner.train_dataloader.dataset.datasets]
    total = sum(step.skipped.total for step in steps)
    assert total >= 4
    *_, last = reports()
    assert f'Skipped {total} unreadable images' in last
    assert not any('videos' in text for text in reports())


def test_good_videos_are_not_reported(tmp_path, caplog, reports):
    dataset = Videos([str(write_clip(tmp_path / 'good.mp4', 4))])
    train(tmp_path / 'run', dataset, caplog, 0)
    assert not reports()


class Count(BaseMetric):
    """The number of samples."""

    allow_missing = False

    def process(self, data_batch, data_samples):
        self.results += [1] * len(data_samples)

    def compute_metrics(self, results):
        return {'count': len(results)}


def validated(work_dir, dataset, metric) -> Runner:
    """A runner that trains on good vectors and validates on a data set."""
    loader = {'batch_size': 4, 'sampler': {'type': 'DefaultSampler', 'shuffle': False}}
    return tiny_runner(
        work_dir,
        CorruptSampleHook(),
        val_dataloader={**loader, 'dataset': dataset},
        val_evaluator=Evaluator(metric),
        val_cfg={},
    )


@pytest.mark.parametrize('kind', ['videos', 'images'])
def test_a_validation_that_would_stop_the_training_is_refused_before_it(tmp_path, kind):
    if kind == 'videos':
        bad = bad_videos(tmp_path)
        names = [str(bad[cause]) for cause in ('missing', 'empty', 'index missing', 'truncated')]
        part = Videos([str(write_clip(tmp_path / 'good.mp4', 4)), *names, names[0]])
        part.pipeline.transforms[0].on_bad = 'mark'
    else:
        Image.new('RGB', (8, 8)).save(tmp_path / 'good.png')
        (tmp_path / 'empty.png').touch()
        names = [str(tmp_path / name) for name in ('absent.png', 'empty.png')]
        part = Pictures([str(tmp_path / 'good.png'), *names])
    runner = validated(tmp_path / 'run', ConcatDataset([part]), Count())
    message = rf'{len(names)} of the {len(names) + 1} files that the validation needs .*{names[1]}'
    with pytest.raises(UserError, match=message):
        runner.train()
    assert runner.iter == 0


class Answers(TinyModel):
    """Predicts nothing."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        if mode == 'predict':
            return list(inputs)
        return super().forward(inputs, data_samples, mode)


def test_a_metric_may_allow_missing_files_and_good_ones_are_not_reported(tmp_path):
    good = str(write_clip(tmp_path / 'good.mp4', 4))
    metric = Count()
    metric.allow_missing = True
    for paths, own in (([good, str(tmp_path / 'gone.mp4')], metric), ([good], Count())):
        dataset = Videos(paths)
        dataset.pipeline.transforms[0].on_bad = 'mark'
        runner = validated(tmp_path / f'run{len(paths)}', dataset, own)
        runner.model = Answers()
        runner.train()
        assert runner.message_hub.get_scalar('val/count').current() == len(paths)
