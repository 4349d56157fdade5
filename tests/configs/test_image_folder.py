"""The ImageNet recipe on a folder of mostly unreadable images."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from tests.datasets.pictures import KINDS, bad_pictures, write_picture
from transmamba_mm.errors import UserError
from transmamba_mm.registry import DATASETS

LEAF = Path(__file__).parents[2] / 'configs/transmamba/vim-t_deit-t_in1k.py'
BAD = ('bomb.png', 'half.png', 'half.jpg', 'empty.png', 'text.png')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """ImageNet's layout: one class of good images of every kind, one of bad ones."""
    root = tmp_path_factory.mktemp('imagenet')
    for split in ('train', 'val'):
        for name in ('n01440764', 'n01443537'):
            (root / split / name).mkdir(parents=True)
        for kind, suffix in KINDS.items():
            write_picture(kind, root / split / 'n01440764' / f'{kind}{suffix}')
        bad_pictures(root / split / 'n01443537')
    return root


def build(folder: Path, phase: str):
    init_default_scope('transmamba_mm')
    dataset = Config.fromfile(LEAF)[f'{phase}_dataloader'].dataset
    classes = {'classes': ('good', 'bad')}
    return DATASETS.build({**dataset, 'data_root': str(folder), 'metainfo': classes})


def test_training_takes_other_images_for_bad_ones(folder):
    dataset = build(folder, 'train')
    names = {Path(dataset.get_data_info(i)['img_path']).name for i in range(len(dataset))}
    assert names >= set(BAD)
    for place in range(len(dataset)):
        item = dataset[place]
        assert item['inputs'].shape == (3, 224, 224)
        assert item['data_samples'].gt_label == 0
    assert dataset.pipeline.transforms[0].skipped.total >= len(BAD)


def test_evaluation_names_the_first_bad_one(folder):
    dataset = build(folder, 'val')
    for place in range(len(dataset)):
        path = dataset.get_data_info(place)['img_path']
        if 'n01440764' in path:
            assert dataset[place]['inputs'].shape == (3, 224, 224)
        else:
            with pytest.raises(UserError, match='cannot be read') as caught:
                dataset[place]
            assert path in str(caught.value)
