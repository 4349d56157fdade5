"""How alike the layers of two models are."""

import torch
from torch import Tensor, nn

from transmamba_mm.models.layouts import layout_of
from transmamba_mm.transfer.features.alignment import to_grid
from transmamba_mm.transfer.features.features import FeatureReader, Features
from transmamba_mm.transfer.features.frames import frames_for
from transmamba_mm.transfer.features.recorder import FeatureRecorder


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Linear centered kernel alignment of two representations of the same samples.

    ``|Y^T X|^2 / (|X^T X| |Y^T Y|)`` with centered columns and Frobenius norms (Kornblith et al.,
    arXiv 1905.00414, eq. 3): 0 unrelated, 1 equal up to a rotation and a scale. It compares models
    of different widths without a projector.

    Args:
        x, y (Tensor): (samples, width of the one) and (samples, width of the other).
    """
    x, y = (part.double() - part.double().mean(dim=0) for part in (x, y))
    return float((y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm()))


@torch.no_grad()
def record_layers(model: nn.Module, images: Tensor) -> Features:
    """Features of every layer of ``model``, in eval mode, for images (B, C, H, W) or clips.

    A model made for images sees the frames of clips (B, C, T, H, W) one by one.
    """
    layers = range(len(layout_of(model.backbone).layer_paths()))
    reader = FeatureReader(model, layers)
    with FeatureRecorder(model.eval(), reader.paths) as recorder:
        model(frames_for(model.backbone, images), mode='tensor')
    return reader.read(recorder, model.backbone, tuple(images.shape[2:]))


def layer_similarity(student: Features, teacher: Features) -> Tensor:
    """Linear CKA between every layer of the student and every layer of the teacher.

    Samples are the patches of all images, in canonical order; where the grids differ, the teacher's
    features are interpolated.

    Returns:
        Tensor: (student layers, teacher layers), each in [0, 1].
    """
    rows = [
        [
            linear_cka(x.flatten(0, 1), to_grid(y, teacher_grid, grid).flatten(0, 1))
            for y, teacher_grid in zip(teacher.patches, teacher.grids, strict=True)
        ]
        for x, grid in zip(student.patches, student.grids, strict=True)
    ]
    return torch.tensor(rows)
