from transmamba_mm.compat import import_datasets_quietly

import_datasets_quietly()  # registers what our configs take from mmpretrain

from transmamba_mm.datasets.digits import Digits  # noqa: E402
from transmamba_mm.datasets.easy_vqa import EasyVQA, EasyVQAObjects  # noqa: E402
from transmamba_mm.datasets.fit_size import FitSize  # noqa: E402
from transmamba_mm.datasets.list_choices import ListChoices  # noqa: E402
from transmamba_mm.datasets.llava_instruct import LlavaInstruct  # noqa: E402
from transmamba_mm.datasets.load_image import LoadImage  # noqa: E402
from transmamba_mm.datasets.random_affine import RandomAffine  # noqa: E402
from transmamba_mm.datasets.retrieval import (  # noqa: E402
    MSRVTT,
    DiDeMo,
    LabelPlace,
    MovingDigits,
    MovingDigitsKinds,
    VideoCaptions,
)
from transmamba_mm.datasets.to_grayscale import ToGrayscale  # noqa: E402
from transmamba_mm.datasets.video import (  # noqa: E402
    CenterCropClip,
    DecodeVideo,
    PackClip,
    RandomFlipClip,
    RandomResizedCropClip,
    ResizeClip,
)

__all__ = [
    'MSRVTT',
    'CenterCropClip',
    'DecodeVideo',
    'DiDeMo',
    'Digits',
    'EasyVQA',
    'EasyVQAObjects',
    'FitSize',
    'LabelPlace',
    'ListChoices',
    'LlavaInstruct',
    'LoadImage',
    'MovingDigits',
    'MovingDigitsKinds',
    'PackClip',
    'RandomAffine',
    'RandomFlipClip',
    'RandomResizedCropClip',
    'ResizeClip',
    'ToGrayscale',
    'VideoCaptions',
]
