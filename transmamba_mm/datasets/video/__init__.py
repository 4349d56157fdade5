from transmamba_mm.datasets.video.clip_transforms import (
    CenterCropClip,
    RandomFlipClip,
    RandomResizedCropClip,
    ResizeClip,
)
from transmamba_mm.datasets.video.decode_video import DecodeVideo
from transmamba_mm.datasets.video.frame_cache import FrameCache
from transmamba_mm.datasets.video.open_video import open_video
from transmamba_mm.datasets.video.pack_clip import PackClip
from transmamba_mm.datasets.video.reader import VideoReader
from transmamba_mm.datasets.video.sampling import FrameSampler
from transmamba_mm.datasets.video.video_error import VideoError

__all__ = [
    'CenterCropClip',
    'DecodeVideo',
    'FrameCache',
    'FrameSampler',
    'PackClip',
    'RandomFlipClip',
    'RandomResizedCropClip',
    'ResizeClip',
    'VideoError',
    'VideoReader',
    'open_video',
]
