"""scikit-learn's handwritten digits: the real data set that every installation already has."""

import numpy as np
from mmpretrain.datasets import BaseDataset
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from transmamba_mm.checks import SEED, SHARE, checked, one_of
from transmamba_mm.datasets.subset import check_fraction, stratified_order, take_fraction
from transmamba_mm.errors import UserError
from transmamba_mm.registry import DATASETS

TEST_IMAGES, VAL_IMAGES = 360, 280
SPLIT_SEED = 0


@DATASETS.register_module()
class Digits(BaseDataset):
    """1,797 handwritten digits of 8 x 8 pixels, in memory, nothing to download.

    The split is stratified and always the same: 1,157 images to train on, 280 to choose on and 360
    to test on. A ``fraction`` of the training images is stratified too, and nested: with one
    ``seed``, every image of a smaller fraction is in each larger one, so that two fractions differ
    by how much data there is and not by which.

    Images are uint8 (8, 8) arrays of 0..255 (the source has 17 gray levels).

    Args:
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        fraction (float): Share of the training images to keep, in (0, 1].
        seed (int): Which nested sequence of subsets. Defaults to 0.
        pipeline, metainfo, test_mode, ...: As in mmpretrain's ``BaseDataset``. ``classes`` that do
            not cover every label are an error.

    Raises:
        UserError: On an unknown split, a fraction outside (0, 1] or of other images than those to
            train on, or a label outside the range of ``classes``.
    """

    METAINFO = {'classes': tuple(str(digit) for digit in range(10))}

    @checked(split=one_of('train', 'val', 'test'), fraction=SHARE, seed=SEED)
    def __init__(self, split: str, fraction: float = 1.0, seed: int = 0, **kwargs) -> None:
        check_fraction(split, fraction)
        self.split = split
        self.fraction = fraction
        self.seed = seed
        super().__init__(ann_file='', **{'serialize_data': False, **kwargs})

    def load_data_list(self) -> list[dict]:
        """Read the images: one dict with ``img`` (8, 8) uint8 and ``gt_label`` each."""
        images, labels, chosen = split_digits(self.split)
        if self.split == 'train':
            chosen = chosen[
                take_fraction(stratified_order(labels[chosen], self.seed), self.fraction)
            ]
        num_classes = len(self.metainfo['classes'])
        if labels[chosen].max() >= num_classes:
            raise UserError(
                f'Digits has the labels 0..{labels[chosen].max()}, outside the range of the '
                f'{num_classes} classes that metainfo names: list all ten, or none.'
            )
        return [{'img': images[i], 'gt_label': int(labels[i])} for i in chosen]

    def extra_repr(self) -> list[str]:
        """Lines of ``repr`` besides mmpretrain's."""
        return [f'Split: \t{self.split}', f'Fraction: \t{self.fraction:g} (seed {self.seed})']


def split_digits(split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read all digits, and which of them are for training, choosing or testing.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``.

    Returns:
        Images (1797, 8, 8), uint8, 0..255; labels (1797,); and the indices of the split's images,
        1,157, 280 or 360 of them.
    """
    source = load_digits()
    rest, test = _split(np.arange(len(source.target)), source.target, TEST_IMAGES)
    train, val = _split(rest, source.target, VAL_IMAGES)
    images = np.rint(source.images * (255 / 16)).astype(np.uint8)
    return images, source.target, {'train': train, 'val': val, 'test': test}[split]


def _split(chosen: np.ndarray, labels: np.ndarray, count: int) -> list[np.ndarray]:
    """Two stratified parts of ``chosen``, the second of ``count``."""
    return train_test_split(
        chosen, test_size=count, stratify=labels[chosen], random_state=SPLIT_SEED
    )
