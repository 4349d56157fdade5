"""Solar cells in electroluminescence images: real photographs with graded cracks."""

import importlib.util
from pathlib import Path

import mmcv
import numpy as np
from mmpretrain.datasets import BaseDataset

from transmamba_mm.checks import COUNT, SEED, SHARE, checked, one_of
from transmamba_mm.datasets.subset import (
    check_fraction,
    stratified_order,
    stratified_part,
    take_fraction,
)
from transmamba_mm.errors import UserError
from transmamba_mm.registry import DATASETS

PACKAGE = 'elpv_dataset'
#: Images of each part of the 2,624.
PARTS = {'train': 1_640, 'val': 328, 'test': 656}


@DATASETS.register_module()
class SolarCells(BaseDataset):
    """ELPV (Deitsch et al., arXiv 1807.02894): 2,624 gray images of solar cells, in memory.

    Classes are the four grades of a cell: how likely it is defective, in thirds. The split is
    stratified and always the same. A ``fraction`` of the images to train on is stratified and
    nested: with one ``seed`` every image of a smaller fraction is in each larger one.

    The images (CC BY-NC-SA 4.0) are read from the Python package ``elpv-dataset``, or from
    ``data_root``, which has its ``labels.csv`` and ``images``.

    Args:
        split (str): 'train', 'val' or 'test'.
        fraction (float): Share of the split to keep, in (0, 1]; 1 for 'val' and 'test'.
        seed (int): Which nested sequence of subsets.
        size (int): Side that the images of 300 x 300 are reduced to when they are read, pixels.
        data_root (str): Folder of the files; by default the package's.
        pipeline, metainfo, ...: As in mmpretrain's ``BaseDataset``.

    Raises:
        UserError: No such package or folder; files other than the published ones; an unknown
            split, a fraction of a split that is never subsampled.
    """

    METAINFO = {'classes': ('functional', 'likely functional', 'likely defective', 'defective')}

    @checked(split=one_of(*PARTS), fraction=SHARE, seed=SEED, size=COUNT)
    def __init__(
        self,
        split: str,
        fraction: float = 1.0,
        seed: int = 0,
        size: int = 64,
        data_root: str = '',
        **kwargs,
    ) -> None:
        check_fraction(split, fraction)
        self.split = split
        self.fraction = fraction
        self.seed = seed
        self.size = size
        self.folder = Path(data_root) if data_root else _package_folder()
        super().__init__(ann_file='', **{'serialize_data': False, **kwargs})

    def load_data_list(self) -> list[dict]:
        """One dict with ``img`` (size, size) uint8 and ``gt_label`` for each image."""
        names, labels = _read_labels(self.folder / 'labels.csv')
        chosen = stratified_part(labels, PARTS, self.split)
        if self.fraction < 1:
            order = stratified_order(labels[chosen], self.seed)
            chosen = chosen[take_fraction(order, self.fraction)]
        return [
            {'img': self._read_image(self.folder / names[i]), 'gt_label': int(labels[i])}
            for i in chosen
        ]

    def _read_image(self, path: Path) -> np.ndarray:
        image = mmcv.imread(str(path), flag='grayscale') if path.is_file() else None
        if image is None:
            raise UserError(f'{path} is missing or not an image: reinstall elpv-dataset.')
        return mmcv.imresize(image, (self.size, self.size), interpolation='area')

    def extra_repr(self) -> list[str]:
        """Lines of ``repr`` beside mmpretrain's."""
        return [
            f'Split: \t{self.split}',
            f'Fraction: \t{self.fraction:g} (seed {self.seed})',
            f'Files: \t{self.folder}',
        ]


def _package_folder() -> Path:
    found = importlib.util.find_spec(PACKAGE)  # without an import
    if found is None or not found.submodule_search_locations:
        raise UserError(
            'The images of solar cells are not installed: pip install elpv-dataset (91 MB), or set '
            'data_root to a folder with labels.csv and images/.'
        )
    return Path(found.submodule_search_locations[0]) / 'data'


def _read_labels(path: Path) -> tuple[list[str], np.ndarray]:
    """Names of the images and their grades 0 to 3."""
    if not path.is_file():
        raise UserError(f'{path} does not exist: pip install elpv-dataset, or set data_root.')
    try:
        rows = [line.split() for line in path.read_text().splitlines()]
        names = [name for name, _, _ in rows]
        grades = np.array([float(probability) for _, probability, _ in rows]) * 3
    except ValueError as error:
        raise UserError(f'{path} is not the one of elpv-dataset ({error}).') from error
    labels = grades.round().astype(int)
    if len(names) != sum(PARTS.values()) or not np.allclose(grades, labels, atol=0.01):
        raise UserError(
            f'{path} has {len(names)} images, not the {sum(PARTS.values())} of elpv-dataset with '
            'probabilities in thirds.'
        )
    return names, labels
