"""A number of classes that is None is the data's."""

import pytest
from mmengine.config import Config

from tests.datasets.test_image_folder import save
from transmamba_mm.errors import UserError
from transmamba_mm.launch.data_classes import fill_num_classes
from transmamba_mm.launch.read_config import read_config

LEAF = """
_base_ = [
    'transmamba_mm::_base_/students/vim-s.py',
    'transmamba_mm::_base_/teachers/deit-s.py',
    'transmamba_mm::_base_/methods/wsab.py',
    'transmamba_mm::_base_/datasets/image_folder.py',
    'transmamba_mm::_base_/runtimes/default.py',
]
model = dict(student=_base_.student, teacher=_base_.teacher)
for _part in (model['student'], model['teacher']['model']):
    _part['head']['num_classes'] = None
"""


def with_data(dataset: dict) -> Config:
    return Config(
        {
            'data_preprocessor': {'num_classes': None},
            'model': {'student': {'head': {'num_classes': None}}, 'heads': [{'num_classes': 5}]},
            'train_dataloader': {'dataset': dataset},
        }
    )


def numbers(cfg: Config) -> list[int]:
    heads = [cfg.model.student.head, *cfg.model.heads]
    return [cfg.data_preprocessor.num_classes, *(head.num_classes for head in heads)]


@pytest.mark.parametrize(
    ('dataset', 'number'),
    [
        ({'type': 'transmamba_mm.FashionMNIST'}, 10),
        ({'type': 'RepeatDataset', 'times': 2, 'dataset': {'type': 'CIFAR100'}}, 100),
        ({'type': 'CustomDataset', 'metainfo': {'classes': ['a', 'b', 'c']}}, 3),
    ],
)
def test_only_what_is_none_is_filled(dataset, number):
    cfg = with_data(dataset)
    fill_num_classes(cfg)
    assert numbers(cfg) == [number, number, 5]


def test_a_leaf_for_a_folder_of_images(tmp_path):
    for name in ('cat', 'dog', 'cow'):
        for i in range(2):
            save(tmp_path / 'photos' / name / f'{i}.png')
    leaf = tmp_path / 'leaf.py'
    leaf.write_text(LEAF)
    options = {
        f'{phase}_dataloader.dataset.data_root': str(tmp_path / 'photos')
        for phase in ('train', 'val', 'test')
    }
    cfg = read_config(str(leaf), options)
    fill_num_classes(cfg)
    assert cfg.model.student.head.num_classes == cfg.model.teacher.model.head.num_classes == 3
    assert cfg.data_preprocessor.num_classes == 3


@pytest.mark.parametrize('dataset', [None, {'type': 'CustomDataset'}])
def test_data_that_names_no_classes(dataset):
    with pytest.raises(UserError, match=r'data_preprocessor\.num_classes, model\.student\.head'):
        fill_num_classes(with_data(dataset))
