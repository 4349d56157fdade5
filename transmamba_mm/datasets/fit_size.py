"""Fit images of any shape to a model of one size."""

from mmcv.transforms import BaseTransform

from transmamba_mm.datasets.video.decode_video import check_size
from transmamba_mm.datasets.video.resize import resize_frames
from transmamba_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class FitSize(BaseTransform):
    """Scale the middle of ``img`` (H, W, 3) or ``clip`` (T, H, W, 3) to one size, bicubic.

    The middle is the largest part with the proportions of the size: the same picture as that of a
    resized short side and a center crop, at no cost for the parts cut off.

    Args:
        size (int | tuple[int, int]): The side of a square, or (height, width).
        only_smaller (bool): Leave images alone that are large enough for a later crop to ``size``.
            Defaults to False.
    """

    def __init__(self, size: int | tuple[int, int], only_smaller: bool = False) -> None:
        size = check_size(type(self).__name__, size)
        self.size = (size, size) if isinstance(size, int) else size
        self.only_smaller = only_smaller

    def transform(self, results: dict) -> dict:
        """Cut and scale; a picture of the size stays as it is."""
        key = 'clip' if 'clip' in results else 'img'
        frames = results[key] if key == 'clip' else results[key][None]
        shape = frames.shape[1:3]
        if self.only_smaller and all(
            side >= wanted for side, wanted in zip(shape, self.size, strict=True)
        ):
            return results
        scale = min(side / wanted for side, wanted in zip(shape, self.size, strict=True))
        height, width = (max(1, round(scale * wanted)) for wanted in self.size)
        top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
        frames = resize_frames(frames[:, top : top + height, left : left + width], self.size)
        results[key] = frames if key == 'clip' else frames[0]
        results['img_shape'] = self.size
        return results
