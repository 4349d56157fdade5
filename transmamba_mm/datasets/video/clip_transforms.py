"""Scaling, cropping and flipping clips: every frame of a clip alike."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.datasets.transforms import RandomResizedCrop

from transmamba_mm.checks import FRACTION, checked
from transmamba_mm.datasets.video.decode_video import check_size
from transmamba_mm.datasets.video.reader import FrameSize, target_size
from transmamba_mm.datasets.video.resize import resize_frames
from transmamba_mm.errors import UserError
from transmamba_mm.registry import TRANSFORMS


def _with_clip(results: dict, clip: np.ndarray) -> dict:
    results['clip'] = clip
    results['img_shape'] = clip.shape[1:3]
    return results


@TRANSFORMS.register_module()
class ResizeClip(BaseTransform):
    """Scale ``clip`` (T, H, W, 3), bicubic.

    Args:
        size (int | tuple[int, int]): The short side, keeping the proportions, or (height, width).
    """

    def __init__(self, size: FrameSize) -> None:
        self.size = check_size(type(self).__name__, size)

    def transform(self, results: dict) -> dict:
        """Scale the clip."""
        clip = results['clip']
        return _with_clip(results, resize_frames(clip, target_size(clip.shape[1:3], self.size)))


@TRANSFORMS.register_module()
class CenterCropClip(BaseTransform):
    """Cut the middle out of ``clip``.

    Args:
        size (int | tuple[int, int]): The side of a square, or (height, width).
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        size = check_size(type(self).__name__, size)
        self.size = (size, size) if isinstance(size, int) else size

    def transform(self, results: dict) -> dict:
        """Cut the clip.

        Raises:
            UserError: If it is smaller than the crop.
        """
        clip = results['clip']
        top, left = ((clip.shape[1 + i] - self.size[i]) // 2 for i in (0, 1))
        if top < 0 or left < 0:
            raise UserError(
                f'CenterCropClip cuts {self.size} out of frames of {clip.shape[1:3]}: scale them '
                "before, by DecodeVideo's size or ResizeClip."
            )
        cut = clip[:, top : top + self.size[0], left : left + self.size[1]]
        return _with_clip(results, np.ascontiguousarray(cut))


@TRANSFORMS.register_module()
class RandomResizedCropClip(RandomResizedCrop):
    """Cut a random part out of ``clip``, the same of every frame, and scale it, bicubic.

    How the part is drawn is mmpretrain's.

    Args:
        scale (int | tuple[int, int]): The side of a square, or (height, width), of the result.
        crop_ratio_range (tuple[float, float]): Area of the part. Defaults to (0.5, 1.0), as the
            caption's subject has to stay in the picture.
        aspect_ratio_range (tuple[float, float]): Width over height of the part. Defaults to (3/4,
            4/3).
    """

    def __init__(
        self,
        scale: int | tuple[int, int],
        crop_ratio_range: tuple[float, float] = (0.5, 1.0),
        aspect_ratio_range: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        super().__init__(scale, crop_ratio_range, aspect_ratio_range, interpolation='bicubic')

    def transform(self, results: dict) -> dict:
        """Cut and scale the clip."""
        clip = results['clip']
        top, left, height, width = self.rand_crop_params(clip[0])
        part = clip[:, top : top + height, left : left + width]
        return _with_clip(results, resize_frames(part, tuple(self.scale)))


@TRANSFORMS.register_module()
class RandomFlipClip(BaseTransform):
    """Mirror ``clip`` left to right, all of its frames, with a probability.

    Leave it out, or set ``prob=0``, where captions mention left and right.

    Args:
        prob (float): How often. Defaults to 0.5.
    """

    @checked(prob=FRACTION)
    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Mirror the clip at random; ``flip`` records whether."""
        results['flip'] = bool(np.random.random() < self.prob)
        if results['flip']:
            results['clip'] = np.ascontiguousarray(results['clip'][:, :, ::-1])
        return results
