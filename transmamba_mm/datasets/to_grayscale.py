"""The step of a data pipeline for models of one channel."""

import mmcv
from mmcv.transforms import BaseTransform

from transmamba_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ToGrayscale(BaseTransform):
    """Turn an image file's three channels into the one of a model of gray images.

    mmcv's ``RandomGrayscale(prob=1)`` does so too, but rounds down: a gray file would not come out
    as it was.

    Required and modified keys: ``img``, uint8 (H, W, 3) in mmcv's order B, G, R, which becomes
    (H, W); an image (H, W) or (H, W, 1) stays as it is.
    """

    def transform(self, results: dict) -> dict:
        """Replace the image."""
        if results['img'].ndim == 3 and results['img'].shape[2] == 3:
            results['img'] = mmcv.bgr2gray(results['img'])
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
