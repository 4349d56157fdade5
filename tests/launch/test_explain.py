"""A user's mistake becomes one message; our own bugs are none of it."""

import re

import pytest
import torch
from mmengine.config import Config, DictAction
from mmengine.dataset import BaseDataset
from mmengine.hooks import CheckpointHook
from mmengine.registry import build_from_cfg, init_default_scope
from torch import nn
from torch.utils.data import DataLoader, Dataset

from tests.configs.vqa_data import write_all
from tests.engine.tiny_run import tiny_runner
from transmamba_mm.launch.explain import explain
from transmamba_mm.registry import DATASETS, DISTILLERS, HOOKS, METRICS, MODELS, TOKENIZERS


def message(action) -> str | None:
    """The user's message after ``action`` failed."""
    with pytest.raises(Exception) as caught:
        action()
    return explain(caught.value)


def fail(error: Exception):
    raise error


@pytest.mark.parametrize(
    ('registry', 'name', 'kind', 'meant'),
    [
        (MODELS, 'ImageClasifier', 'model', 'ImageClassifier'),
        (MODELS, 'Vimm', 'model', 'Vim'),
        (MODELS, 'mmpretrain.ResNett', 'model', 'ResNet'),
        (DATASETS, 'CIFAR1000', 'dataset', 'CIFAR100'),
        (DISTILLERS, 'WSAP', 'distiller', 'WSAB'),
    ],
)
def test_unknown_type_suggests_the_nearest(registry, name, kind, meant):
    text = message(lambda: registry.build({'type': name}))
    assert text == f"type='{name}' is not a known {kind}. Did you mean '{meant}'?"


def test_unknown_key_suggests_the_nearest():
    text = message(lambda: MODELS.build({'type': 'Vim', 'pach_size': 16}))
    assert text == "Vim takes no 'pach_size' in its config. Did you mean 'patch_size'?"


def test_config_without_a_type_is_shown():
    text = message(lambda: MODELS.build({'arch': 'tiny', 'head': {'type': 'A'}}))
    assert text.startswith("A part of the config has no type: {'arch': 'tiny', 'head'")


def test_something_else_than_a_config():
    assert "got <class 'str'>" in message(lambda: build_from_cfg('Vim', MODELS))


def test_missing_key_is_named():
    text = message(lambda: MODELS.build({'type': 'LinearClsHead', 'num_classes': 10}))
    assert 'LinearClsHead.__init__() missing' in text and 'in_channels' in text


def test_key_of_a_function_suggests_the_nearest_too():
    text = message(lambda: TOKENIZERS.build({'type': 'WordTokenizer', 'word': ['a']}))
    assert text == "WordTokenizer takes no 'word' in its config. Did you mean 'words'?"


def test_missing_key_of_a_function_is_named_too():
    text = message(lambda: TOKENIZERS.build({'type': 'AutoTokenizer'}))
    assert text.startswith('AutoTokenizer missing') and 'name_or_path' in text


def test_key_of_what_takes_none():
    text = message(lambda: HOOKS.build({'type': 'NonFiniteLossHook', 'interval': 1}))
    assert text.startswith('NonFiniteLossHook takes no')


def test_a_wrong_call_of_an_ordinary_function_is_a_bug():
    def function():
        pass

    assert message(lambda: function(word=1)) is None


class Sizes(Dataset):
    """Items of three sizes."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.zeros(3, 8, 8 + 2 * (index % 3))


@pytest.mark.parametrize('workers', [0, 1])
def test_items_that_cannot_be_one_batch(workers):
    text = message(lambda: next(iter(DataLoader(Sizes(), 4, num_workers=workers))))
    assert text.startswith('The items of a batch differ in shape ([3, 8, 8] and [3, 8, 10]): ')


@pytest.mark.parametrize('kind', ['VideoDataPreprocessor', 'mmpretrain.ClsDataPreprocessor'])
def test_items_that_are_not_packed(kind):
    packer = MODELS.build({'type': kind, 'mean': [0.0] * 3, 'std': [1.0] * 3})
    said = message(lambda: packer({'video_path': ['a.mp4']}, True))
    assert 'KeyError: inputs' in said and kind.rpartition('.')[2] in said and 'PackInputs' in said


def test_stacking_elsewhere_is_a_bug():
    assert message(lambda: torch.stack([torch.zeros(2), torch.zeros(3)])) is None


def test_best_by_a_metric_that_is_not_reported(tmp_path):
    hook = CheckpointHook(save_best='vqa/acuracy', rule='greater')
    runner = tiny_runner(tmp_path)
    hook.before_train(runner)
    text = message(lambda: hook.after_val_epoch(runner, {'vqa/accuracy': 0.5, 'vqa/other': 0.1}))
    assert "save_best='vqa/acuracy'" in text and "Did you mean 'vqa/accuracy'?" in text
    assert 'It reports vqa/accuracy, vqa/other.' in text and '--resume' in text


def test_evaluator_of_another_task():
    metric = METRICS.build({'type': 'Accuracy'})
    text = message(lambda: metric.process(None, [{'gt_label': torch.tensor([1])}]))
    assert "'pred_label'" in text and 'val_evaluator' in text


def test_option_that_cannot_be_read():
    text = message(lambda: DictAction._parse_iterable("dict(type='A',rules='b')"))
    assert text.startswith('A value of --cfg-options cannot be read')


def test_partly_configured_phase(tmp_path):
    text = message(lambda: tiny_runner(tmp_path, val_evaluator={'type': 'Accuracy'}))
    assert 'should be either all None or not None' in text


@pytest.mark.parametrize('key', ['batch_size', 'persistent_workers'])
def test_data_loader_that_cannot_be(tmp_path, key):
    loader = {'batch_size': 1, 'sampler': {'type': 'DefaultSampler'}, key: key != 'batch_size'}
    text = message(lambda: tiny_runner(tmp_path).build_dataloader({**loader, 'dataset': Sizes()}))
    assert key in text


class Unreadable(BaseDataset):
    """All of it."""

    def load_data_list(self):
        return [{}] * 3

    def prepare_data(self, idx):
        return None


@pytest.mark.parametrize('workers', [0, 1])
def test_unreadable_data(workers):
    text = message(lambda: next(iter(DataLoader(Unreadable(), num_workers=workers))))
    assert 'data set' in text and 'data_root' in text


@pytest.mark.parametrize('other', [[{'params': [0]}], [{'params': [0, 1, 2]}]])
def test_resuming_what_is_of_another_training(other):
    model = nn.Linear(2, 2)
    groups = [[*model.parameters()]] if len(other[0]['params']) > 1 else [*model.parameters()]
    optimizer = torch.optim.SGD([{'params': group} for group in groups], lr=1)
    text = message(lambda: optimizer.load_state_dict({'param_groups': other, 'state': {}}))
    assert 'checkpoint to resume' in text and 'load_from' in text


def test_missing_config_file():
    text = message(lambda: Config.fromfile('configs/absent.py'))
    assert 'configs/absent.py' in text


def test_config_with_a_syntax_error(tmp_path):
    (tmp_path / 'broken.py').write_text('model = dict(\n')
    text = message(lambda: Config.fromfile(tmp_path / 'broken.py'))
    assert 'line 1' in text


def test_entry_that_cannot_replace_what_it_inherits(tmp_path):
    (tmp_path / 'base.py').write_text("model = dict(arch='tiny')\n")
    (tmp_path / 'leaf.py').write_text("_base_ = 'base.py'\nmodel = dict(arch=dict(dims=3))\n")
    assert '_delete_=True' in message(lambda: Config.fromfile(tmp_path / 'leaf.py'))


@pytest.mark.parametrize(
    ('folders', 'words'), [([], 'Found 0 files'), (['cat', 'dog'], r'subfolders \(2\)')]
)
def test_data_folder_with_the_wrong_content(tmp_path, folders, words):
    for folder in folders:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'image.png').touch()
    kind = 'ImageNet' if folders else 'CustomDataset'
    text = message(lambda: DATASETS.build({'type': kind, 'data_root': str(tmp_path)}))
    assert re.search(words, text)


@pytest.mark.parametrize('kind', [AssertionError, RuntimeError, ValueError])
def test_the_same_errors_from_elsewhere_are_bugs(kind):
    assert message(lambda: fail(kind('a bug'))) is None


def test_base_that_does_not_exist(tmp_path):
    (tmp_path / 'leaf.py').write_text("_base_ = 'nowhere.py'\n")
    text = message(lambda: Config.fromfile(tmp_path / 'leaf.py'))
    assert 'nowhere.py' in text


@pytest.mark.parametrize('name', ['vqav2', 'okvqa', 'gqa', 'textvqa', 'scienceqa'])
@pytest.mark.parametrize(
    'content', [b'[' * 200_000, b'\xff\xfe[]', b'{', b'null', b'[3]', b'{"data": [[]]}']
)
def test_annotations_that_mmpretrain_cannot_read_are_named(tmp_path, name, content):
    write_all(tmp_path)
    cfg = Config.fromfile(f'configs/_base_/datasets/{name}.py').val_dataloader.dataset
    cfg.data_root = str(tmp_path)
    init_default_scope('transmamba_mm')
    file = tmp_path / cfg.ann_file
    file.write_bytes(content)
    text = message(lambda: DATASETS.build(cfg))
    assert text.startswith(str(file)) and cfg.type in text
