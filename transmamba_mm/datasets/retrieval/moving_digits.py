"""The videos that tools/datasets/make_moving_digits.py makes."""

from transmamba_mm.checks import check, one_of
from transmamba_mm.datasets import moving_digits
from transmamba_mm.datasets.retrieval.video_captions import VideoCaptions
from transmamba_mm.errors import UserError
from transmamba_mm.registry import DATASETS


@DATASETS.register_module()
class MovingDigits(VideoCaptions):
    """Moving handwritten digits, with captions of digit, size, direction and speed.

    The videos are made by ``python tools/datasets/make_moving_digits.py``. No image of a digit is
    in two splits, and no two videos to choose or to test on mean the same. See
    ``datasets/moving_digits.py``.

    Args:
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        data_root (str): Folder of all splits. Defaults to ``'data/moving_digits'``.
        **kwargs: See ``VideoTextDataset``. ``test_mode`` is set but for training.

    Raises:
        UserError: On an unknown split, or if the videos are not made yet.
    """

    HELP = 'Make the videos: python tools/datasets/make_moving_digits.py --out {root}'
    WORDS = moving_digits.WORDS

    def __init__(self, split: str, data_root: str = 'data/moving_digits', **kwargs) -> None:
        self.split = split
        settings = {'data_prefix': {'video_path': f'{split}/videos'}, 'test_mode': split != 'train'}
        super().__init__(*self.files(split), data_root=data_root, **{**settings, **kwargs})

    @classmethod
    def files(cls, split: str, **kwargs) -> tuple[str, ...]:
        """Name the file of the captions."""
        check('MovingDigits', 'split', split, one_of(*moving_digits.SPLITS))
        return (f'{split}/captions.jsonl',)

    @classmethod
    def attributes(cls, text: str) -> dict[str, str]:
        """Digit, size, speed and path in a caption."""
        meaning = moving_digits.read_meaning(text)
        return {
            'digit': moving_digits.DIGITS[meaning.digit],
            'size': meaning.size,
            'speed': meaning.speed,
            'path': ' '.join(meaning.path),
        }


@DATASETS.register_module()
class MovingDigitsCls(MovingDigits):
    """Digit and size in the videos, as 20 classes such as 'small seven', for a vision encoder.

    An item is a video: ``video_path``, ``video_id`` and ``gt_label``. No caption is read.

    Args:
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        data_root (str): Folder of all splits. Defaults to ``'data/moving_digits'``.
        **kwargs: See :class:`MovingDigits`.
    """

    METAINFO = {
        'classes': tuple(
            f'{size} {digit}' for digit in moving_digits.DIGITS for size in moving_digits.SIZES
        )
    }

    def __init__(self, split: str, data_root: str = 'data/moving_digits', **kwargs) -> None:
        super().__init__(split, data_root, test_mode=False, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Derive the class from the meaning of a video's captions."""
        number = {name: i for i, name in enumerate(self.metainfo['classes'])}
        items = []
        for name, item in {item['video_id']: item for item in super().load_data_list()}.items():
            kind = ' '.join(item['caption_id'].split()[:2])
            if kind not in number:
                raise UserError(
                    f'{self.ann_file} has no meaning such as "large seven moves left" for {name}. '
                    f'{self.help()}'
                )
            label = number[kind]
            items.append({'video_path': item['video_path'], 'video_id': name, 'gt_label': label})
        return items
