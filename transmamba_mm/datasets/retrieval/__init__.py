from transmamba_mm.datasets.retrieval.add_grid_label import AddGridLabel
from transmamba_mm.datasets.retrieval.didemo import DiDeMo
from transmamba_mm.datasets.retrieval.moving_digits import MovingDigits, MovingDigitsCls
from transmamba_mm.datasets.retrieval.msrvtt import MSRVTT
from transmamba_mm.datasets.retrieval.video_captions import VideoCaptions
from transmamba_mm.datasets.retrieval.video_texts import VideoTextDataset

__all__ = [
    'MSRVTT',
    'AddGridLabel',
    'DiDeMo',
    'MovingDigits',
    'MovingDigitsCls',
    'VideoCaptions',
    'VideoTextDataset',
]
