"""Similarities of the layers of two models."""

import torch
from torch import Tensor, nn

from transmamba_mm.models.layouts import layout_of
from transmamba_mm.transfer.features.alignment import to_grid
from transmamba_mm.transfer.features.features import FeatureKind, TokenFeature
from transmamba_mm.transfer.features.frames import frames_for
from transmamba_mm.transfer.features.model_reader import ModelReader


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
def record_layers(model: nn.Module, images: Tensor) -> list[TokenFeature]:
    """Features of every layer of a classifier, in eval mode, for images (B, C, H, W) or clips.

    A model of images takes the frames of clips (B, C, T, H, W) one by one.
    """
    layers = range(len(layout_of(model.backbone).layer_paths()))
    kind = FeatureKind.LAYER_FEATURES
    reader = ModelReader(model.eval(), {'backbone': layers}, {kind})
    with reader.recorder.record(model) as recording:
        model(frames_for(model, images), mode='tensor')
    return reader.read_images(model, 'backbone', recording, tuple(images.shape[2:]))[kind]


def layer_similarity(student: list[TokenFeature], teacher: list[TokenFeature]) -> Tensor:
    """Linear CKA between every layer of the student and every layer of the teacher.

    Samples are the patches of all images, in canonical order; where the grids differ, the teacher's
    features are interpolated.

    Returns:
        Tensor: (student layers, teacher layers), each in [0, 1].
    """
    rows = [
        [
            linear_cka(x.patches.flatten(0, 1), to_grid(y.patches, y.grid, x.grid).flatten(0, 1))
            for y in teacher
        ]
        for x in student
    ]
    return torch.tensor(rows)
