"""Fashion-MNIST: four parts that share no image, nested fractions, files of the declared format."""

import gzip
from itertools import combinations, pairwise

import numpy as np
import pytest

from transmamba_mm.datasets import FashionMNIST
from transmamba_mm.datasets.fashion_mnist import FILES, PARTS
from transmamba_mm.datasets.subset import stratified_part
from transmamba_mm.errors import UserError


def bytes_of(dataset: FashionMNIST) -> list[bytes]:
    return [item['img'].tobytes() for item in dataset.data_list]


def test_parts_are_disjoint_stratified_and_cover_everything():
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(10), 6000))
    parts = {name: stratified_part(labels, PARTS, name) for name in PARTS}
    assert {name: len(part) for name, part in parts.items()} == PARTS
    for one, other in combinations(parts.values(), 2):
        assert not set(one) & set(other)
    for name, part in parts.items():
        assert np.bincount(labels[part]).tolist() == pytest.approx([PARTS[name] / 10] * 10, abs=1)


def test_real_files(fashion_mnist):
    test = FashionMNIST('test', data_root=str(fashion_mnist))
    assert (len(test), test.data_list[0]['img'].shape) == (10_000, (28, 28))
    assert test.CLASSES[test.data_list[0]['gt_label']] == 'Ankle boot'
    small, large = (FashionMNIST('train', part, 3) for part in (0.01, 0.25))
    assert (len(small), len(large)) == (250, 6250)
    assert set(bytes_of(small)) <= set(bytes_of(large))
    assert np.bincount(small.get_gt_labels()).tolist() == [25] * 10


def test_fractions_are_nested(fashion_mnist):
    sizes = [FashionMNIST('train', part, 0) for part in (0.01, 0.1)]
    for one, other in pairwise(sizes):
        assert set(bytes_of(one)) <= set(bytes_of(other))
    assert set(bytes_of(FashionMNIST('train', 0.01, 1))) != set(bytes_of(sizes[0]))


def test_missing_files_name_the_folder_and_the_package(tmp_path):
    with pytest.raises(UserError, match=f'{tmp_path}.*dataset-fashion-mnist'):
        FashionMNIST('train', data_root=str(tmp_path))


@pytest.mark.parametrize(
    'contents',
    [b'', b'no gzip', gzip.compress(b'another data set', mtime=0)],
    ids=['empty', 'no gzip', 'gzip of another file'],
)
def test_other_contents(tmp_path, contents):
    for name in FILES:
        (tmp_path / f'{name}.gz').write_bytes(contents)
    with pytest.raises(UserError, match=r'train-images-idx3-ubyte\.gz'):
        FashionMNIST('train', data_root=str(tmp_path))


@pytest.mark.parametrize('split', ['val', 'test'])
def test_what_is_never_thinned_out(split):
    with pytest.raises(UserError, match=rf'fraction=0.5 of the {split}'):
        FashionMNIST(split, 0.5)
