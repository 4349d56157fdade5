"""EasyVQA: the published questions of the real package, nested fractions, batches of a config."""

import pickle
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import easy_vqa
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image

from transmamba_mm.datasets import EasyVQA, EasyVQACls
from transmamba_mm.datasets.easy_vqa import COLORS, SHAPES
from transmamba_mm.errors import UserError
from transmamba_mm.registry import MODELS

CONFIG = Path(__file__).parents[2] / 'configs/_base_/datasets/easyvqa.py'


@pytest.fixture(scope='module')
def test_split() -> EasyVQA:
    return EasyVQA('test')


@pytest.fixture(scope='module')
def config() -> Config:
    init_default_scope('transmamba_mm')
    return Config.fromfile(CONFIG)


def numbers(dataset: EasyVQA) -> set[int]:
    return {dataset.get_data_info(i)['question_id'] for i in range(len(dataset))}


def test_published_split(test_split):
    train = EasyVQA('train')
    assert (len(train), len(test_split)) == (38575, 9673)
    items = [test_split.get_data_info(i) for i in range(len(test_split))]
    published = list(zip(*easy_vqa.get_test_questions(), strict=True))
    found = [(item['question'], item['gt_answer'], item['image_id']) for item in items]
    assert found == published
    assert [item['question_id'] for item in items] == list(range(9673))
    assert sum(not item['is_yes_no'] for item in items) == 2537
    assert len({item['img_path'] for item in items}) == 1000
    assert all(Path(item['img_path']).name == f'{item["image_id"]}.png' for item in items)


def test_accuracy_from_the_question_alone(test_split):
    """README's baseline: the most frequent training answer of each question."""
    answers: dict[str, Counter] = {}
    for item in EasyVQA('train'):
        answers.setdefault(item['question'], Counter())[item['gt_answer']] += 1
    right = {True: [], False: []}
    for item in test_split:
        guess = answers[item['question']].most_common(1)[0][0]
        right[item['is_yes_no']].append(guess == item['gt_answer'])
    assert np.mean(right[True] + right[False]) == pytest.approx(0.670, abs=5e-4)
    assert np.mean(right[False]) == pytest.approx(0.233, abs=5e-4)
    assert np.mean(right[True]) == pytest.approx(0.8254, abs=5e-5)


def test_classes_are_the_published_answers(test_split):
    assert len(test_split.CLASSES) == 13
    assert set(test_split.CLASSES) == set(easy_vqa.get_answers())
    item = test_split.get_data_info(5)
    assert test_split.CLASSES[item['gt_label']] == item['gt_answer']


def test_fractions_are_nested_and_stratified():
    parts = [EasyVQA('train', fraction, seed=2) for fraction in (0.01, 0.1, 0.75)]
    assert [len(part) for part in parts] == [386, 3858, 28931]
    for small, large in pairwise(parts):
        assert numbers(small) < numbers(large)
    whole = np.bincount(EasyVQA('train').get_gt_labels(), minlength=13)
    tenth = np.bincount(parts[1].get_gt_labels(), minlength=13)
    assert abs(tenth - whole / 10).max() < 2
    assert numbers(EasyVQA('train', 0.01, seed=3)) != numbers(parts[0])
    assert 'Fraction' in repr(parts[0])


def test_images_match_the_questions(test_split):
    asked = [test_split.get_data_info(i) for i in range(200)]
    paths = {
        item['img_path']
        for item in asked
        if item['question'] == 'what color is the shape?' and item['gt_answer'] == 'red'
    }
    assert paths
    for path in paths:
        image = np.asarray(Image.open(path).convert('RGB')).astype(int)
        assert image.shape == (64, 64, 3)
        red, green, blue = image[image.sum(axis=-1) < 400].mean(axis=0)  # of the shape
        assert red > 2 * max(green, blue)


def test_pickled_data_set_reads_the_same(test_split):
    again = pickle.loads(pickle.dumps(test_split))
    assert len(again) == len(test_split)
    assert again.get_data_info(17) == test_split.get_data_info(17)


@pytest.mark.parametrize('phase', ['train', 'val'])
def test_config_makes_batches_in_workers(config, phase):
    loader = Runner.build_dataloader({**config[f'{phase}_dataloader'], 'batch_size': 8}, seed=0)
    assert loader.num_workers == 1
    batch = next(iter(loader))
    assert batch['inputs'].shape == (8, 3, 64, 64)
    sample = batch['data_samples'][0]
    assert sample.is_yes_no == (sample.gt_answer in ('yes', 'no'))
    assert {'question', 'gt_answer', 'question_id'} <= set(sample.keys())
    assert {'image_id', 'is_yes_no', 'img_path'} <= set(sample.metainfo_keys())

    data = MODELS.build(config.data_preprocessor)(batch, training=phase == 'train')
    assert data['images'].shape == (8, 3, 64, 64)
    if phase == 'train':  # flipped and shifted
        return
    rgb = np.asarray(Image.open(sample.img_path).convert('RGB'), dtype=np.float32)
    mean, std = config.data_preprocessor.mean, config.data_preprocessor.std
    expected = torch.from_numpy((rgb - mean) / std).permute(2, 0, 1).float()
    torch.testing.assert_close(data['images'][0], expected)


def test_config_normalizes_with_the_images_own_statistics(config):
    paths = list(easy_vqa.get_train_image_paths().values())[:500]
    pipeline = EasyVQA('test', pipeline=config.test_pipeline[:1]).pipeline
    pixels = np.stack([pipeline({'img_path': path})['img'] for path in paths])[..., ::-1]
    flat = pixels.reshape(-1, 3).astype(float)
    assert flat.mean(axis=0) == pytest.approx(config.data_preprocessor.mean, abs=2)
    assert flat.std(axis=0) == pytest.approx(config.data_preprocessor.std, rel=0.05)


def test_evaluators_of_the_config_agree_on_its_samples(config):
    here = {'num_workers': 0, 'persistent_workers': False}
    loader = Runner.build_dataloader({**config.val_dataloader, **here})
    evaluator = Evaluator(config.val_evaluator)
    samples = [sample for batch in loader for sample in batch['data_samples']]
    for sample in samples:
        sample.set_field('yes' if sample.is_yes_no else sample.gt_answer.upper(), 'pred_answer')
    evaluator.process(samples)
    values = evaluator.evaluate(len(samples))
    assert values['vqa/accuracy_not_yes_no'] == 100
    assert values['vqa/accuracy_yes_no'] == pytest.approx(100 * 3611 / 7136)  # test answers 'yes'
    assert values['vqa/accuracy'] == pytest.approx(values['VQA/acc'])


def test_missing_package_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'easy_vqa', None)
    with pytest.raises(UserError, match='pip install easy-vqa'):
        EasyVQA('test')


@pytest.mark.parametrize('fraction', [0, -0.5, 1.5])
def test_fraction_outside_its_range(fraction):
    with pytest.raises(UserError, match=r'\(0, 1\]'):
        EasyVQA('train', fraction)


def test_unknown_split_thinned_test_and_missing_classes():
    with pytest.raises(UserError, match=r"split='val' of EasyVQA .*train, test"):
        EasyVQA('val')
    with pytest.raises(UserError, match='test fraction at 1'):
        EasyVQA('test', 0.5)
    with pytest.raises(UserError, match='classes lack: black, blue'):
        EasyVQA('test', metainfo={'classes': ('yes', 'no')})


@pytest.mark.parametrize('split, count', [('train', 3132), ('test', 772)])
def test_labels_match_every_question(split, count):
    objects = EasyVQACls(split, pipeline=[])
    shown = {
        item['img_path']: set(objects.CLASSES[item['gt_label']].split())
        for item in (objects.get_data_info(i) for i in range(len(objects)))
    }
    assert len(shown) == len(objects) == count
    for item in EasyVQA(split, pipeline=[]):
        words = set(item['question'].rstrip('?').split())
        asked, seen = words & {*SHAPES, *COLORS}, shown.get(item['img_path'])
        if seen is None:
            continue
        if not item['is_yes_no']:
            assert item['gt_answer'] in seen
        else:
            there = (item['gt_answer'] == 'yes') is not bool(words & {'no', 'not'})
            assert (asked <= seen) is there


def test_an_object_has_the_color_of_its_class():
    objects = EasyVQACls('test', pipeline=[])
    for item in (objects.get_data_info(i) for i in range(0, len(objects), 40)):
        if objects.CLASSES[item['gt_label']].startswith('blue'):
            pixels = np.asarray(Image.open(item['img_path']).convert('RGB')).reshape(-1, 3)
            assert (pixels == (0, 0, 255)).all(1).any()
