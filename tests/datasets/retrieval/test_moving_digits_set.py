"""MovingDigits: the splits that the tool makes, through the pipelines of their config."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from transmamba_mm.datasets import AddGridLabel, MovingDigits, MovingDigitsCls, VideoCaptions
from transmamba_mm.datasets.make_moving_digits import make_moving_digits
from transmamba_mm.errors import UserError
from transmamba_mm.launch.data_config import type_name
from transmamba_mm.registry import MODELS

CONFIG = Path(__file__).parents[3] / 'configs/_base_/datasets/movingdigits.py'
LABELS = ('kind', 'row', 'column')


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp('data') / 'moving_digits'
    assert sum(1 for _ in make_moving_digits(folder, {'train': 40, 'val': 10, 'test': 12})) == 62
    return str(folder)


@pytest.fixture
def config(root, tmp_path) -> Config:
    init_default_scope('transmamba_mm')
    config = Config.fromfile(CONFIG)
    config.train_pipeline[0].cache.dir = str(tmp_path / 'cache')
    for phase in ('train', 'val', 'test'):
        config[f'{phase}_dataloader'].dataset.data_root = root
    config.train_dataloader.dataset.pipeline = config.train_pipeline
    return config


def test_splits(root):
    train, test = MovingDigits('train', data_root=root), MovingDigits('test', data_root=root)
    assert {train.get_data_info(i)['caption_id'] for i in range(len(train))} >= {
        'large four slowly right down'
    }
    val = MovingDigits('val', data_root=root)
    assert len(val) == 10 and len(test) == 12 and val.test_mode and test.test_mode
    assert all(2 <= len(test.get_data_info(i)['text']) <= 3 for i in range(12))
    thin = MovingDigits('train', data_root=root, fraction=0.25)
    assert len({thin.get_data_info(i)['video_id'] for i in range(len(thin))}) == 10


@pytest.mark.parametrize('phase', ['train', 'val', 'test'])
def test_config_makes_batches_in_workers(config, phase, tmp_path):
    loader = Runner.build_dataloader({**config[f'{phase}_dataloader'], 'batch_size': 6}, seed=0)
    batch = next(iter(loader))
    size = config.test_pipeline[0].size
    frames = config.test_pipeline[0].num_frames
    assert batch['inputs'].shape == (6, 3, frames, size, size)
    sample = batch['data_samples'][0]
    assert isinstance(sample.text, str if phase == 'train' else list)
    assert sample.frame_mask.all() and not sample.is_missing
    assert ('caption_id' in sample) is (phase == 'train')
    assert any(tmp_path.glob('cache/*/*.safetensors')) is (phase == 'train')
    data = MODELS.build(config.data_preprocessor)(batch)
    assert data['inputs'].dtype == torch.float32


def test_config_normalizes_with_the_videos_own_statistics(config, root):
    dataset = MovingDigits('train', data_root=root, pipeline=config.test_pipeline)
    pixels = np.stack([dataset[i]['inputs'].numpy() for i in range(len(dataset))]).astype(float)
    assert pixels.mean() == pytest.approx(config.data_preprocessor.mean[0], rel=0.05)
    assert pixels.std() == pytest.approx(config.data_preprocessor.std[0], rel=0.05)


def test_no_step_of_the_config_flips(config):
    kinds = {type_name(step) for step in [*config.train_pipeline, *config.test_pipeline]}
    assert kinds == {'DecodeVideo', 'PackClip'}


def test_videos_that_are_not_made_come_with_the_command_that_makes_them(tmp_path):
    command = f'python tools/datasets/make_moving_digits.py --out {tmp_path}'
    with pytest.raises(UserError, match=command):
        MovingDigits('train', data_root=str(tmp_path))
    with pytest.raises(UserError, match=r"split='valid'.*train, test, val"):
        MovingDigits('valid', data_root=str(tmp_path))


def test_classes_match_captions_and_come_as_images(root, tmp_path):
    init_default_scope('transmamba_mm')
    config = Config.fromfile(CONFIG.with_name('movingdigits_cls.py'))
    config.train_pipeline[0].cache.dir = str(tmp_path / 'cache')
    kinds = MovingDigitsCls('train', data_root=root, pipeline=config.train_pipeline)
    captions = MovingDigits('train', data_root=root)
    said = {}
    for item in (captions.get_data_info(i) for i in range(len(captions))):
        said[item['video_id']] = ' '.join(item['caption_id'].split()[:2])
    assert len(kinds) == len(said) == 40 and len(kinds.metainfo['classes']) == 20
    for i in range(len(kinds)):
        item = kinds.get_data_info(i)
        assert kinds.metainfo['classes'][item['gt_label']] == said[item['video_id']]
    packed = kinds[3]
    assert packed['inputs'].shape == (3, 32, 32)
    labels = {task: packed['data_samples'].get(task).gt_label.item() for task in LABELS}
    assert labels['kind'] == kinds.get_data_info(3)['gt_label']
    assert 0 <= labels['row'] < 8 and 0 <= labels['column'] < 8
    assert len(MovingDigitsCls('test', data_root=root)) == 12


def test_attributes_of_a_caption():
    found = MovingDigits.attributes('the little digit two goes up and then left quickly')
    assert found == {'digit': 'two', 'size': 'small', 'speed': 'quickly', 'path': 'up left'}
    assert VideoCaptions.attributes('a dog') == {}


@pytest.mark.parametrize('name', ['movingdigits.py', 'movingdigits_cls.py'])
def test_configs_choose_and_test_on_splits_of_their_own(name):
    config = Config.fromfile(CONFIG.with_name(name))
    loaders = {phase: config[f'{phase}_dataloader'] for phase in ('train', 'val', 'test')}
    assert {phase: loader.dataset.split for phase, loader in loaders.items()} == {
        phase: phase for phase in loaders
    }
    del loaders['val'].dataset['split'], loaders['test'].dataset['split']
    assert loaders['val'] == loaders['test']


@pytest.mark.parametrize(
    'rows, columns, place',
    [
        ((0, 6), (0, 6), (0, 0)),
        ((1, 5), (24, 30), (0, 2)),
        ((13, 19), (13, 19), (1, 1)),
        ((26, 32), (2, 8), (2, 0)),
    ],
)
def test_grid_labels_hold_class_and_place(rows, columns, place):
    frame = np.full((32, 32, 3), 60, np.uint8)  # as bright as the background may be
    frame[slice(*rows), slice(*columns)] = 200
    clip = np.stack([frame, np.zeros_like(frame)])
    found = AddGridLabel(grid=3).transform({'clip': clip, 'gt_label': 5})
    assert found['gt_label'] == {'kind': 5, 'row': place[0], 'column': place[1]}
    assert np.array_equal(found['img'], frame)


def test_nothing_bright_is_in_the_middle():
    dark = {'clip': np.zeros((1, 32, 32, 3), np.uint8), 'gt_label': 1}
    assert AddGridLabel(grid=3).transform(dark)['gt_label'] == {'kind': 1, 'row': 1, 'column': 1}
    with pytest.raises(UserError, match='grid=0'):
        AddGridLabel(grid=0)
