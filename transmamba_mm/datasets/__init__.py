from transmamba_mm.compat import import_datasets_quietly

import_datasets_quietly()  # registers what our configs take from mmpretrain

from transmamba_mm.datasets.digits import Digits  # noqa: E402
from transmamba_mm.datasets.easy_vqa import EasyVQA, EasyVQACls  # noqa: E402
from transmamba_mm.datasets.fashion_canvas import FashionCanvas  # noqa: E402
from transmamba_mm.datasets.fashion_mnist import FashionMNIST  # noqa: E402
from transmamba_mm.datasets.fit_size import FitSize  # noqa: E402
from transmamba_mm.datasets.format_choices import FormatChoices  # noqa: E402
from transmamba_mm.datasets.image_folder import ImageFolder  # noqa: E402
from transmamba_mm.datasets.llava_instruct import LlavaInstruct  # noqa: E402
from transmamba_mm.datasets.load_image import LoadImage  # noqa: E402
from transmamba_mm.datasets.random_affine import RandomAffine  # noqa: E402
from transmamba_mm.datasets.retrieval import (  # noqa: E402
    MSRVTT,
    AddGridLabel,
    DiDeMo,
    MovingDigits,
    MovingDigitsCls,
    VideoCaptions,
)
from transmamba_mm.datasets.seeded_views import SeededViews  # noqa: E402
from transmamba_mm.datasets.solar_cells import SolarCells  # noqa: E402
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
    'AddGridLabel',
    'CenterCropClip',
    'DecodeVideo',
    'DiDeMo',
    'Digits',
    'EasyVQA',
    'EasyVQACls',
    'FashionCanvas',
    'FashionMNIST',
    'FitSize',
    'FormatChoices',
    'ImageFolder',
    'LlavaInstruct',
    'LoadImage',
    'MovingDigits',
    'MovingDigitsCls',
    'PackClip',
    'RandomAffine',
    'RandomFlipClip',
    'RandomResizedCropClip',
    'ResizeClip',
    'SeededViews',
    'SolarCells',
    'ToGrayscale',
    'VideoCaptions',
]
