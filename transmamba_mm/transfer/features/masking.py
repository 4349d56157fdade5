"""Hide parts of the student's images, so that its features predict the teacher's of the whole."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transmamba_mm.models.layouts import layout_of
from transmamba_mm.models.towers import IMAGES, towers_of


def mask_images(student: nn.Module, images: Tensor, ratio: float) -> Tensor:
    """Set a random share of the patches of each image to 0, the mean color of normalized images.

    Patches are those of the student's coarsest grid, so that each hides whole tokens. A clip hides
    the same patches in all frames (tube masking, VideoMAE, arXiv 2203.12602): a neighboring frame
    does not give them away.

    Args:
        student (nn.Module): Its first tower of images has the grid.
        images (Tensor): (B, C, H, W), or clips (B, C, T, H, W).
        ratio (float): Share of the patches, in [0, 1).
    """
    tower = next(tower for tower in towers_of(student).values() if tower.reads == IMAGES)
    layout = layout_of(tower.backbone)
    size = tuple(images.shape[2:] if layout.takes_clips else images.shape[-2:])
    rows, columns = layout.layer_grids(size)[-1][-2:]
    order = torch.rand(len(images), rows * columns, device=images.device).argsort(dim=1)
    hidden = order < round(ratio * rows * columns)  # as many in every image
    kept = (~hidden).to(images).unflatten(1, (1, rows, columns))
    kept = F.interpolate(kept, images.shape[-2:], mode='nearest')
    return images * (kept if images.dim() == 4 else kept.unsqueeze(1))
