"""One's own images as a data set of mmpretrain."""

from mmpretrain.datasets import BaseDataset

from transmamba_mm.checks import SEED, SHARE, Number, checked, one_of
from transmamba_mm.datasets.image_list import SPLITS, VAL_SHARE, list_images
from transmamba_mm.datasets.subset import check_fraction, stratified_order, take_fraction
from transmamba_mm.registry import DATASETS


@DATASETS.register_module()
class ImageFolder(BaseDataset):
    """Images in folders named like their classes, or in a table.

    ``data_root`` is the FOLDER of ``FOLDER/CLASS/*.jpg`` or
    ``FOLDER/{train,val,test}/CLASS/*.jpg``, or a ``.csv`` with the columns image, label and perhaps
    split. Without images to validate on,
    ``val_share`` of each class is set apart, always the same images; without images to test on,
    'test' is 'val'. Files whose suffix is no image's are not listed.

    Args:
        data_root (str): The folder or table.
        split (str): 'train', 'val' or 'test'.
        fraction (float): Share of the images to train on to keep, in (0, 1], stratified and nested;
            1 for 'val' and 'test'.
        seed (int): Which nested sequence of subsets.
        val_share (float): Share of each class that validates, where no images are set apart.
        pipeline, metainfo, ...: As in mmpretrain's ``BaseDataset``.

    Raises:
        UserError: See :func:`~transmamba_mm.datasets.image_list.list_images`; an unknown split, a
            fraction of a split that is never subsampled.
    """

    @checked(split=one_of(*SPLITS), fraction=SHARE, seed=SEED, val_share=Number(0.01, 0.9))
    def __init__(
        self,
        data_root: str,
        split: str,
        fraction: float = 1.0,
        seed: int = 0,
        val_share: float = VAL_SHARE,
        **kwargs,
    ) -> None:
        check_fraction(split, fraction)
        self.split = split
        self.fraction = fraction
        self.seed = seed
        self.images = list_images(data_root, val_share)
        metainfo = {'classes': tuple(self.images.classes), **(kwargs.pop('metainfo', None) or {})}
        super().__init__(ann_file='', data_root=str(data_root), metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One dict with ``img_path`` and ``gt_label`` for each image."""
        chosen = self.images.of_split(self.split)
        if self.fraction < 1:
            order = stratified_order(self.images.labels[chosen], self.seed)
            chosen = chosen[take_fraction(order, self.fraction)]
        return [
            {'img_path': str(self.images.files[i]), 'gt_label': int(self.images.labels[i])}
            for i in chosen
        ]

    def extra_repr(self) -> list[str]:
        """Lines of ``repr`` beside mmpretrain's."""
        drawn = ' (drawn from the images to train on)' if self.images.made_val else ''
        return [
            f'Split: \t{self.split}{"" if self.split == "train" else drawn}',
            f'Fraction: \t{self.fraction:g} (seed {self.seed})',
            f'Source: \t{self.images.source}',
        ]
