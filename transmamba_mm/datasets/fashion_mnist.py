"""Fashion-MNIST with the splits of the study: teacher, train, val and test."""

import gzip
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmpretrain.datasets import BaseDataset
from mmpretrain.datasets.categories import FASHIONMNIST_CATEGORITES

from transmamba_mm.checks import SEED, SHARE, checked, one_of
from transmamba_mm.datasets.subset import (
    check_fraction,
    stratified_order,
    stratified_part,
    take_fraction,
)
from transmamba_mm.errors import UserError
from transmamba_mm.registry import DATASETS

#: Folders to search: this project's own, then that of Debian's package.
ROOTS = ('data/fashion_mnist', '/usr/share/datasets/fashion-mnist')
#: SHA-256 of each file's contents, unpacked.
FILES = {
    'train-images-idx3-ubyte': 'c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888',
    'train-labels-idx1-ubyte': 'bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9',
    't10k-images-idx3-ubyte': '5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b',
    't10k-labels-idx1-ubyte': '0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34',
}
#: Images of each part of the 60,000 that are published to train on.
PARTS = {'teacher': 30_000, 'train': 25_000, 'val': 5_000}


@DATASETS.register_module()
class FashionMNIST(BaseDataset):
    """Fashion-MNIST (arXiv 1708.07747): 28 x 28 gray images of ten kinds of clothes, in memory.

    The published test set stays the test set. The 60,000 images to train on are split, stratified
    and always alike, into ``teacher`` (30,000, for teachers that never meet the student's images),
    ``train`` (25,000) and ``val`` (5,000). A ``fraction`` of ``teacher`` or ``train`` is stratified
    and nested: with one ``seed`` every image of a smaller fraction is in each larger one.

    The four idx files, packed (.gz) or not, are read from ``data_root``, ``data/fashion_mnist`` or
    the folder of Debian's package ``dataset-fashion-mnist``; nothing is downloaded.

    Args:
        split (str): 'teacher', 'train', 'val' or 'test'.
        fraction (float): Share of the split to keep, in (0, 1]; 1 for 'val' and 'test'.
        seed (int): Which nested sequence of subsets.
        data_root (str): Folder of the files; by default the first place that has them.
        pipeline, metainfo, ...: As in mmpretrain's ``BaseDataset``.

    Raises:
        UserError: No such folder or file, a file with other contents, an unknown split, a fraction
            of a split that is never subsampled.
    """

    METAINFO = {'classes': FASHIONMNIST_CATEGORITES}

    @checked(split=one_of(*PARTS, 'test'), fraction=SHARE, seed=SEED)
    def __init__(
        self,
        split: str,
        fraction: float = 1.0,
        seed: int = 0,
        data_root: str = '',
        **kwargs,
    ) -> None:
        check_fraction(split, fraction)
        self.split = split
        self.fraction = fraction
        self.seed = seed
        self.folder = find_files((data_root,) if data_root else ROOTS)
        super().__init__(ann_file='', **{'serialize_data': False, **kwargs})

    def load_data_list(self) -> list[dict]:
        """One dict with ``img`` (28, 28) uint8 and ``gt_label`` for each image."""
        kind = 't10k' if self.split == 'test' else 'train'
        images = read_idx(self.folder, f'{kind}-images-idx3-ubyte')
        labels = read_idx(self.folder, f'{kind}-labels-idx1-ubyte')
        if self.split == 'test':
            chosen = np.arange(len(labels))
        else:
            chosen = stratified_part(labels, PARTS, self.split)
        if self.fraction < 1:
            order = stratified_order(labels[chosen], self.seed)
            chosen = chosen[take_fraction(order, self.fraction)]
        return [{'img': images[i], 'gt_label': int(labels[i])} for i in chosen]

    def extra_repr(self) -> list[str]:
        """Lines of ``repr`` beside mmpretrain's."""
        return [
            f'Split: \t{self.split}',
            f'Fraction: \t{self.fraction:g} (seed {self.seed})',
            f'Files: \t{self.folder}',
        ]


def find_files(roots: Sequence[str]) -> Path:
    """The first folder with the four files.

    Raises:
        UserError: None has them; names the folders, and how to get the files.
    """
    for root in map(Path, roots):
        if all(_path(root, name) for name in FILES):
            return root
    raise UserError(
        f'The files of Fashion-MNIST ({", ".join(FILES)}, with or without .gz) are not in '
        f'{" or ".join(map(str, roots))}. On Debian and Ubuntu: apt-get install '
        'dataset-fashion-mnist. Elsewhere put them into data/fashion_mnist, or set data_root.'
    )


def read_idx(folder: Path, name: str) -> np.ndarray:
    """Read a file of the data set: images (n, 28, 28) or labels (n,), uint8.

    Raises:
        UserError: The contents are not the published ones.
    """
    path = _path(folder, name)
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == '.gz' else path.read_bytes()
    except (OSError, EOFError) as error:
        raise UserError(f'{path} cannot be read: {error}. Download it again.') from error
    if hashlib.sha256(data).hexdigest() != FILES[name]:
        raise UserError(
            f'{path} does not hold the {name} of Fashion-MNIST (its SHA-256 differs): the file is '
            'damaged or belongs to another data set. Download it again.'
        )
    num_axes = data[3]  # idx: two zero bytes, type, number of axes, sizes, entries
    sizes = np.frombuffer(data, '>u4', num_axes, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * num_axes).reshape(sizes)


def _path(folder: Path, name: str) -> Path | None:
    """The file, packed or not."""
    return next((p for p in (folder / name, folder / f'{name}.gz') if p.is_file()), None)
