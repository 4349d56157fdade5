from transmamba_mm.datasets.retrieval.didemo import DiDeMo
from transmamba_mm.datasets.retrieval.label_place import LabelPlace
from transmamba_mm.datasets.retrieval.moving_digits import MovingDigits, MovingDigitsKinds
from transmamba_mm.datasets.retrieval.msrvtt import MSRVTT
from transmamba_mm.datasets.retrieval.video_captions import VideoCaptions
from transmamba_mm.datasets.retrieval.video_texts import VideoTextDataset

__all__ = [
    'MSRVTT',
    'DiDeMo',
    'LabelPlace',
    'MovingDigits',
    'MovingDigitsKinds',
    'VideoCaptions',
    'VideoTextDataset',
]
