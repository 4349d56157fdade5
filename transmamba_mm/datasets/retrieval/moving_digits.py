"""The videos that tools/datasets/make_moving_digits.py makes."""

from transmamba_mm.datasets import moving_digits
from transmamba_mm.datasets.retrieval.video_captions import VideoCaptions
from transmamba_mm.errors import UserError
from transmamba_mm.registry import DATASETS


@DATASETS.register_module()
class MovingDigits(VideoCaptions):
    """Real handwritten digits that move, with captions that say which, how large, where, how fast.

    The videos are made by ``python tools/datasets/make_moving_digits.py``. No image of a digit is
    in both splits, and no two test videos mean the same. See ``datasets/moving_digits.py``.

    Args:
        split (str): ``'train'`` or ``'test'``.
        data_root (str): Folder of both. Defaults to ``'data/moving_digits'``.
        **kwargs: See ``VideoTextDataset``. ``test_mode`` is set for the test split.

    Raises:
        UserError: On an unknown split, or if the videos are not made yet.
    """

    HELP = 'Make the videos: python tools/datasets/make_moving_digits.py --out {root}'
    WORDS = moving_digits.WORDS

    def __init__(self, split: str, data_root: str = 'data/moving_digits', **kwargs) -> None:
        self.split = split
        settings = {'data_prefix': {'video_path': f'{split}/videos'}, 'test_mode': split == 'test'}
        super().__init__(*self.files(split), data_root=data_root, **{**settings, **kwargs})

    @classmethod
    def files(cls, split: str, **kwargs) -> tuple[str, ...]:
        """Name the file of the captions."""
        if split not in moving_digits.SPLITS:
            raise UserError(f"MovingDigits has no split {split!r}: choose 'train' or 'test'.")
        return (f'{split}/captions.jsonl',)
