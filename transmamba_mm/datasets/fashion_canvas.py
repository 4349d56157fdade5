"""Questions about what stands beside what: 3x3 canvases of Fashion-MNIST images."""

from typing import Any

import numpy as np
from mmpretrain.datasets import BaseDataset

from transmamba_mm.checks import COUNT, SEED, SHARE, checked, one_of
from transmamba_mm.datasets.fashion_mnist import FashionMNIST
from transmamba_mm.registry import DATASETS

SIDE, PIXELS = 3, 28
#: One word for each class of Fashion-MNIST.
CLOTHES = (
    *('tshirt', 'trouser', 'pullover', 'dress', 'coat'),
    *('sandal', 'shirt', 'sneaker', 'bag', 'boot'),
)
#: Relation -> (row, column) of the answer, relative to the named piece.
RELATIONS = {'left of': (0, -1), 'right of': (0, 1), 'above': (-1, 0), 'below': (1, 0)}
#: Canvases of each split by default.
CANVASES = {'train': 50_000, 'val': 2_000, 'test': 5_000}


@DATASETS.register_module()
class FashionCanvas(BaseDataset):
    """Nine Fashion-MNIST images of nine classes on a 3x3 canvas: "what is left of the boot ?".

    A canvas is gray, 84 x 84 pixels. Classes, images, places and the question are drawn at random,
    one question a canvas, the same for the same arguments. Splits are those of
    :class:`FashionMNIST`: no image is in two of them. No class stands on a canvas twice, so every
    question has one answer, one of nine with the same probability: the question alone is right in
    11 % of all cases.

    An item is what mmpretrain's VQA data sets give: ``img`` (84, 84) uint8, ``question``,
    ``gt_answer``, ``question_id``. ``gt_label`` is the number of the answer's class.

    Args:
        split (str): 'train', 'val' or 'test'.
        fraction (float): Share of the training *images* to draw canvases from, in (0, 1];
            nested and stratified.
        seed (int): Which nested sequence of subsets, and which training canvases.
        canvases (int, optional): Their number. Defaults to 50,000, 2,000 and 5,000.
        data_root (str): See :class:`FashionMNIST`.
        pipeline, ...: As in mmpretrain's ``BaseDataset``.

    Raises:
        UserError: As :class:`FashionMNIST`.
    """

    WORDS = ('?', 'what', 'is', 'the', 'left', 'right', 'of', 'above', 'below', *CLOTHES)
    METAINFO = {'classes': CLOTHES}

    @checked(split=one_of(*CANVASES), fraction=SHARE, seed=SEED, canvases=COUNT)
    def __init__(
        self,
        split: str,
        fraction: float = 1.0,
        seed: int = 0,
        canvases: int | None = None,
        data_root: str = '',
        **kwargs: Any,
    ) -> None:
        pieces = FashionMNIST(split, fraction, seed, data_root, pipeline=[])
        self.images = np.stack([item['img'] for item in pieces])  # (n, 28, 28)
        self.labels = np.array([item['gt_label'] for item in pieces])
        self.split = split
        self.fraction = fraction
        self.seed = seed
        self.canvases = canvases or CANVASES[split]
        super().__init__(ann_file='', **{'serialize_data': False, **kwargs})

    def load_data_list(self) -> list[dict]:
        """Draw the canvases: ``cells``, the places of nine images in :attr:`images`, row by row."""
        random = np.random.default_rng([self.seed, [*CANVASES].index(self.split)])
        of_class = [np.flatnonzero(self.labels == label) for label in range(len(CLOTHES))]
        return [self._draw(random, of_class, number) for number in range(self.canvases)]

    def _draw(self, random: np.random.Generator, of_class: list, number: int) -> dict:
        shown = random.permutation(len(CLOTHES))[: SIDE**2].reshape(SIDE, SIDE)
        cells = [int(random.choice(of_class[label])) for label in shown.flat]
        relation = [*RELATIONS][random.integers(len(RELATIONS))]
        down, right = RELATIONS[relation]
        # The named piece has a neighbor on that side.
        row = random.integers(max(0, -down), SIDE - max(0, down))
        column = random.integers(max(0, -right), SIDE - max(0, right))
        answer = int(shown[row + down, column + right])
        return {
            'cells': cells,
            'question': f'what is {relation} the {CLOTHES[shown[row, column]]} ?',
            'gt_answer': CLOTHES[answer],
            'gt_label': answer,
            'question_id': number,
        }

    def get_data_info(self, idx: int) -> dict:
        """The item, its canvas painted."""
        item = super().get_data_info(idx)
        rows = self.images[item.pop('cells')].reshape(SIDE, SIDE, PIXELS, PIXELS)
        item['img'] = rows.transpose(0, 2, 1, 3).reshape(SIDE * PIXELS, SIDE * PIXELS)
        return item

    def extra_repr(self) -> list[str]:
        """Lines of ``repr`` beside mmpretrain's."""
        return [
            f'Split: \t{self.split}',
            f'Fraction: \t{self.fraction:g} (seed {self.seed})',
            f'Canvases: \t{self.canvases}',
        ]
