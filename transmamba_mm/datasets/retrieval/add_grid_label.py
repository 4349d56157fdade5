"""Labels of positions in a grid."""

import numpy as np
from mmcv.transforms import BaseTransform

from transmamba_mm.checks import COUNT, Number, checked
from transmamba_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class AddGridLabel(BaseTransform):
    """Make the first frame an image, labelled with its class and grid position.

    A vision encoder trained on classes alone loses positions, and with them motion. ``img``
    becomes the frame, ``gt_label`` a dict with a label for each task of a ``MultiTaskHead``:
    ``kind``, the label so far, ``row`` and ``column``.

    Args:
        grid (int): Rows, and columns, that the frame is cut into.
        threshold (int): Pixels that are brighter, 0 to 255, count alike; at their center is what
            moves. Defaults to 90, above the background of the moving digits.
    """

    @checked(grid=COUNT, threshold=Number(0, 255))
    def __init__(self, grid: int, threshold: int = 90) -> None:
        self.grid = grid
        self.threshold = threshold

    def transform(self, results: dict) -> dict:
        """Find the place in ``clip`` (T, H, W, 3); the middle of the frame if nothing is bright."""
        results['img'] = results['clip'][0]
        bright = results['img'].mean(-1) > self.threshold
        size = np.array(bright.shape)
        center = np.argwhere(bright).mean(0) if bright.any() else (size - 1) / 2
        row, column = np.floor((center + 0.5) / size * self.grid).astype(int).tolist()
        results['gt_label'] = {'kind': results['gt_label'], 'row': row, 'column': column}
        return results
