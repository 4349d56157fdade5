"""Digits: a fixed stratified split, nested fractions, errors that name the fix."""

from itertools import pairwise

import numpy as np
import pytest
from mmengine.registry import init_default_scope

from transmamba_mm.datasets import Digits
from transmamba_mm.errors import UserError


def images(dataset: Digits) -> list[bytes]:
    return [item['img'].tobytes() for item in dataset.data_list]


def test_split_is_fixed_and_stratified():
    parts = [Digits(split) for split in ('train', 'val', 'test')]
    assert [len(part) for part in parts] == [1157, 280, 360]
    assert images(parts[1]) == images(Digits('val'))
    shares = [np.bincount(part.get_gt_labels()) / len(part) for part in parts]
    assert np.ptp(shares, axis=0).max() < 0.005
    assert len(set().union(*map(images, parts))) == sum(len(set(images(part))) for part in parts)


@pytest.mark.parametrize('seed', [0, 3])
def test_fractions_are_nested_and_stratified(seed):
    parts = [Digits('train', fraction, seed) for fraction in (0.05, 0.1, 0.25, 1)]
    assert [len(part) for part in parts] == [58, 116, 289, 1157]
    for small, large in pairwise(parts):
        assert set(images(small)) <= set(images(large))
    assert np.bincount(parts[1].get_gt_labels()).tolist() == pytest.approx([11.6] * 10, abs=1)


def test_seed_chooses_the_part_but_not_the_whole():
    assert set(images(Digits('train', 0.1, 0))) != set(images(Digits('train', 0.1, 1)))
    assert set(images(Digits('train', 1, 0))) == set(images(Digits('train', 1, 1)))


def test_item_is_what_mmpretrain_expects():
    init_default_scope('transmamba_mm')
    dataset = Digits('train', pipeline=[{'type': 'PackInputs'}])
    item = dataset[0]
    assert item['inputs'].shape == (1, 8, 8)
    assert int(item['data_samples'].gt_label) == dataset.get_gt_labels()[0]
    assert int(item['inputs'].max()) == 255
    assert ''.join(dataset.CLASSES) == '0123456789'
    assert 'Fraction' in repr(dataset)


@pytest.mark.parametrize('fraction', [0, -0.5, 1.5])
def test_fraction_outside_its_range(fraction):
    with pytest.raises(UserError, match=r'\(0, 1\]'):
        Digits('train', fraction)


def test_unknown_split_and_thinned_test():
    with pytest.raises(UserError, match=r"split='valid' of Digits .*train, val, test"):
        Digits('valid')
    for split in ('val', 'test'):
        with pytest.raises(UserError, match=rf'fraction=0\.5 of the {split} images'):
            Digits(split, 0.5)


def test_label_outside_the_classes():
    with pytest.raises(UserError, match='outside the range'):
        Digits('train', metainfo={'classes': ('zero', 'one')})
