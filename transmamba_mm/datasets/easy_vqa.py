"""easy-VQA: questions about simple shapes, from a pip package, on its published split."""

from types import ModuleType

import numpy as np
from mmpretrain.datasets import BaseDataset

from transmamba_mm.checks import SEED, SHARE, checked, one_of
from transmamba_mm.datasets.subset import stratified_order, take_fraction
from transmamba_mm.errors import UserError
from transmamba_mm.registry import DATASETS

SHAPES = ('circle', 'rectangle', 'triangle')
COLORS = ('black', 'blue', 'brown', 'gray', 'green', 'red', 'teal', 'yellow')


#: Every word of the questions and answers, for a tokenizer of words.
WORDS = (
    *('?', 'a', 'contain', 'does', 'image', 'in', 'is', 'no', 'not', 'of', 'present', 'color'),
    *('shape', 'the', 'there', 'what', 'yes', *SHAPES, *COLORS),
)


@DATASETS.register_module()
class EasyVQA(BaseDataset):
    """48,248 questions about 5,000 images of one colored shape each (``pip install easy-vqa``).

    The split is the published one: 38,575 questions on 4,000 images to train on, 9,673 on 1,000
    other images to test on. Images are RGB, 64 x 64 pixels. Most answers are yes or no, which can
    be guessed well without the image: 2,537 test questions cannot, so report them by themselves
    (``VQAExactMatch`` does).

    An item is what mmpretrain's VQA data sets give: ``img_path``, ``question``, ``gt_answer`` (one
    string), ``question_id`` (the place in the published list) and ``image_id`` (the image's number
    in its split). ``is_yes_no`` and ``gt_label``, the number of the answer among the 13 classes,
    are there besides.

    A ``fraction`` of the training questions is stratified by answer and nested, as in ``Digits``.

    Args:
        split (str): ``'train'`` or ``'test'``.
        fraction (float): Share of the training questions to keep, in (0, 1].
        seed (int): Which nested sequence of subsets. Defaults to 0.
        pipeline, test_mode, ...: As in mmpretrain's ``BaseDataset``.

    Raises:
        UserError: On an unknown split, a fraction outside (0, 1] or of the test questions, an
            answer that ``classes`` lack, or if the package is not installed.
    """

    WORDS = WORDS
    METAINFO = {'classes': ('yes', 'no', *SHAPES, *COLORS)}

    @checked(split=one_of('train', 'test'), fraction=SHARE, seed=SEED)
    def __init__(self, split: str, fraction: float = 1.0, seed: int = 0, **kwargs) -> None:
        if split == 'test' and fraction != 1:
            raise UserError('Only training data is subsampled: leave the test fraction at 1.')
        self.split = split
        self.fraction = fraction
        self.seed = seed
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the questions: one dict each, in the published order unless subsampled."""
        package = _package()
        if self.split == 'train':
            questions, images = package.get_train_questions(), package.get_train_image_paths()
        else:
            questions, images = package.get_test_questions(), package.get_test_image_paths()
        label_of = self.class_to_idx
        unknown = sorted(set(questions[1]) - set(label_of))
        if unknown:
            raise UserError(
                f'EasyVQA has answers that classes lack: {", ".join(unknown)}. Remove classes.'
            )
        items = [
            {
                'img_path': images[image_id],
                'question': question,
                'gt_answer': answer,
                'gt_label': label_of[answer],
                'question_id': number,
                'image_id': image_id,
                'is_yes_no': answer in ('yes', 'no'),
            }
            for number, (question, answer, image_id) in enumerate(zip(*questions, strict=True))
        ]
        if self.fraction == 1:
            return items
        order = stratified_order(np.array([item['gt_label'] for item in items]), self.seed)
        return [items[i] for i in take_fraction(order, self.fraction)]

    def extra_repr(self) -> list[str]:
        """Lines of ``repr`` besides mmpretrain's."""
        return [f'Split: \t{self.split}', f'Fraction: \t{self.fraction:g} (seed {self.seed})']


def _package() -> ModuleType:
    """Import the package that holds the data, only when the data is asked for."""
    try:
        import easy_vqa
    except ImportError as error:
        raise UserError('The easy-VQA data is a package: pip install easy-vqa') from error
    return easy_vqa


@DATASETS.register_module()
class EasyVQACls(BaseDataset):
    """easy-VQA's images in 24 classes such as 'red circle', to train a vision encoder.

    The package has no labels, so they are derived from its questions and answers. Images without
    both a shape and a color are left out. Splits are those of :class:`EasyVQA`.

    An item is what mmpretrain's classification data sets give: ``img_path`` and ``gt_label``.

    Args:
        split (str): ``'train'`` or ``'test'``.
        pipeline, test_mode, ...: As in mmpretrain's ``BaseDataset``.

    Raises:
        UserError: As :class:`EasyVQA`.
    """

    METAINFO = {'classes': tuple(f'{color} {shape}' for color in COLORS for shape in SHAPES)}

    @checked(split=one_of('train', 'test'))
    def __init__(self, split: str, **kwargs) -> None:
        self.split = split
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self) -> list[dict]:
        """Merge the answers to all questions about an image."""
        told: dict[str, set[str]] = {}
        for item in EasyVQA(self.split, pipeline=[]):
            told.setdefault(item['img_path'], set()).update(
                _shown(item['question'], item['gt_answer'])
            )
        return [
            {'img_path': path, 'gt_label': self.class_to_idx[f'{color} {shape}']}
            for path, words in told.items()
            for color in words & set(COLORS)
            for shape in words & set(SHAPES)
        ]


def _shown(question: str, answer: str) -> set[str]:
    """The shape or color in the image, by an answer."""
    if answer not in ('yes', 'no'):
        return {answer}
    words = set(question.rstrip('?').split())
    asks_for_absence = bool(words & {'no', 'not'})
    return words & {*SHAPES, *COLORS} if (answer == 'yes') != asks_for_absence else set()
