"""Labels that say where something is."""

import numpy as np
from mmcv.transforms import BaseTransform

from transmamba_mm.errors import UserError
from transmamba_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LabelPlace(BaseTransform):
    """Make a class of ``gt_label`` and of the place of what is bright in the first frame.

    Eyes that only learn what they see forget where it is, and then no one can learn from them where
    it goes. ``gt_label`` becomes ``gt_label * grid * grid + place``, places counted row by row.

    Args:
        grid (int): The frame is cut into ``grid`` x ``grid`` places.
        threshold (int): Pixels that are brighter, 0 to 255, count alike; at their center is what
            moves. Defaults to 90, above the background of the moving digits.
    """

    def __init__(self, grid: int, threshold: int = 90) -> None:
        if grid < 1:
            raise UserError(f'LabelPlace: grid={grid} has to be positive.')
        self.grid = grid
        self.threshold = threshold

    def transform(self, results: dict) -> dict:
        """Find the place in ``clip`` (T, H, W, 3); the middle of the frame if nothing is bright."""
        bright = results['clip'][0].mean(-1) > self.threshold
        size = np.array(bright.shape)
        center = np.argwhere(bright).mean(0) if bright.any() else (size - 1) / 2
        row, column = np.floor((center + 0.5) / size * self.grid).astype(int)
        results['gt_label'] = results['gt_label'] * self.grid**2 + int(row * self.grid + column)
        return results
