"""Solar cells: three parts that share no image, read from a package or a folder."""

import mmcv
import numpy as np
import pytest

from transmamba_mm.datasets import SolarCells, solar_cells
from transmamba_mm.errors import UserError

PARTS = {'train': 16, 'val': 4, 'test': 8}
PROBABILITIES = ('0.0', '0.3333333333333333', '0.6666666666666666', '1.0')


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data set of 28 cells, seven of each grade, each of a brightness of its own."""
    monkeypatch.setattr(solar_cells, 'PARTS', PARTS)
    lines = []
    for number in range(28):
        name = f'images/cell{number:04}.png'
        mmcv.imwrite(np.full((30, 30), 9 * number, np.uint8), str(tmp_path / name))
        lines.append(f'{name}  {PROBABILITIES[number % 4]}   mono')
    (tmp_path / 'labels.csv').write_text('\n'.join(lines))
    return tmp_path


def levels(dataset: SolarCells) -> set[int]:
    return {int(item['img'][0, 0]) for item in dataset.data_list}


def test_parts_share_nothing_and_labels_are_the_grades(folder):
    parts = {split: SolarCells(split, data_root=str(folder), size=8) for split in PARTS}
    assert {split: len(part) for split, part in parts.items()} == PARTS
    assert len(set().union(*map(levels, parts.values()))) == 28
    for part in parts.values():
        assert np.bincount(part.get_gt_labels()).tolist() == [len(part) // 4] * 4
        for item in part.data_list:
            assert item['img'].shape == (8, 8)
            assert item['gt_label'] == item['img'][0, 0] // 9 % 4


def test_fractions_are_nested(folder):
    few, more = (SolarCells('train', part, 3, data_root=str(folder)) for part in (0.25, 0.5))
    assert (len(few), len(more)) == (4, 8)
    assert levels(few) < levels(more)
    assert np.bincount(few.get_gt_labels()).tolist() == [1] * 4


def test_missing_package(monkeypatch):
    monkeypatch.setattr(solar_cells, 'PACKAGE', 'no_such_package')
    with pytest.raises(UserError, match='pip install elpv-dataset'):
        SolarCells('train')


def test_files_that_are_not_the_published_ones(folder):
    (folder / 'images/cell0000.png').unlink()
    with pytest.raises(UserError, match=r'cell0000\.png'):
        for split in PARTS:
            SolarCells(split, data_root=str(folder))
    labels = folder / 'labels.csv'
    labels.write_text('images/cell0001.png 0.5 mono\n' * 28)
    with pytest.raises(UserError, match=r'labels\.csv .*thirds'):
        SolarCells('train', data_root=str(folder))
    labels.write_text('a b\n')
    with pytest.raises(UserError, match=r'labels\.csv'):
        SolarCells('train', data_root=str(folder))
    labels.unlink()
    with pytest.raises(UserError, match=r'labels\.csv'):
        SolarCells('train', data_root=str(folder))


def test_what_is_never_thinned_out():
    with pytest.raises(UserError, match=r'fraction=0\.5 of the val'):
        SolarCells('val', 0.5)
