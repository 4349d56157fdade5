"""Light geometric augmentation of a whole batch at once."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from transmamba_mm.checks import FINITE, FRACTION, Number, checked
from transmamba_mm.registry import BATCH_AUGMENTS


@BATCH_AUGMENTS.register_module()
class RandomAffine:
    """Rotate, scale, shear, shift and mirror the images of a batch at random, in one resampling.

    It runs in the data preprocessor, after normalization, so teacher and student see exactly the
    same images. Image by image, the same transform costs more than a training step of a tiny model.

    Args:
        rotate (float): Largest angle, degrees.
        translate (float): Largest shift, as a share of the image's side.
        scale (float): Largest change of size: each axis is scaled by 1 +- ``scale``.
        shear (float): Largest horizontal shear, degrees.
        flip (float): Probability of mirroring an image left to right.
        fill (float): Value outside the image, in normalized units.
    """

    @checked(
        rotate=Number(0, 180),
        translate=FRACTION,
        scale=Number(0, 0.99),
        shear=Number(0, 80),
        flip=FRACTION,
        fill=FINITE,
    )
    def __init__(
        self,
        rotate: float = 0.0,
        translate: float = 0.0,
        scale: float = 0.0,
        shear: float = 0.0,
        flip: float = 0.0,
        fill: float = 0.0,
    ) -> None:
        self.rotate = math.radians(rotate)
        self.translate = translate
        self.scale = scale
        self.shear = math.tan(math.radians(shear))
        self.flip = flip
        self.fill = fill

    def __call__(self, images: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Augment images (B, C, H, W); scores (B, classes) stay as they are."""
        theta = self.sample(len(images)).to(images)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        moved = F.grid_sample(images - self.fill, grid, mode='bilinear', align_corners=False)
        return moved + self.fill, scores.float()

    def sample(self, count: int) -> Tensor:
        """Draw ``count`` maps (B, 2, 3) from output to input, in [-1, 1] coordinates."""
        draw = torch.rand(6, count) * 2 - 1  # (6, B)
        angle, shear = draw[0] * self.rotate, draw[1] * self.shear
        wide, high = 1 + draw[2] * self.scale, 1 + draw[3] * self.scale
        x, y = 2 * self.translate * draw[4], 2 * self.translate * draw[5]
        cos, sin = angle.cos(), angle.sin()
        rows = [wide * cos, shear * wide * cos - high * sin, x]
        rows += [wide * sin, shear * wide * sin + high * cos, y]
        theta = torch.stack(rows, dim=1).view(count, 2, 3)
        if self.flip:  # mirroring the output negates what its x is multiplied by
            theta[:, :, 0] *= 1 - 2 * (torch.rand(count, 1) < self.flip).float()
        return theta
