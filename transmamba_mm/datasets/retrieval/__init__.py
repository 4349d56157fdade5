from transmamba_mm.datasets.retrieval.moving_digits import MovingDigits
from transmamba_mm.datasets.retrieval.video_captions import VideoCaptions
from transmamba_mm.datasets.retrieval.video_texts import VideoTextDataset

__all__ = ['MovingDigits', 'VideoCaptions', 'VideoTextDataset']
