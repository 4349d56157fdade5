"""What a cache of a teacher's outputs holds, and the names of its arrays."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from transmamba_mm.transfer.features.features import FeatureKind
from transmamba_mm.transfer.features.model_match import LayerMatch

CONTENTS = 'contents.json'


@dataclass(frozen=True)
class CacheContents:
    """Contents of a cache; written last.

    Attributes:
        teacher (dict): ``source``, ``mean``, ``std`` and ``img_size`` of the teacher.
        num_samples (int): Samples of the data set.
        views (int): Views of each; see ``SeededViews``.
        num_classes (int): Of the logits.
        kinds (list[str]): Kinds of features.
        top_k (int | None): Classes kept exactly; None: all.
        num_drawn (int): Classes drawn from the others.
        temperature (float | None): Of the kept distribution; None: any.
        grids (dict): Patch grid of each feature of a layer, by name.
    """

    teacher: dict[str, Any]
    num_samples: int
    views: int
    num_classes: int
    kinds: list[str]
    top_k: int | None = None
    num_drawn: int = 0
    temperature: float | None = None
    grids: dict[str, list[int]] = field(default_factory=dict)


def feature_name(kind: FeatureKind, layer: LayerMatch) -> str:
    """Name of a feature of a teacher layer, or of a part of one."""
    return f'{kind.value}.{layer.teacher}.{layer.part.value}'


def fingerprints(images: Tensor) -> Tensor:
    """A number (B,) for each of the images (B, ...), other than those of mirrored or moved ones."""
    pixels = images.flatten(1).double()
    places = torch.arange(pixels.shape[1], device=pixels.device, dtype=torch.float64)
    return ((pixels * torch.cos(places)).sum(1) / pixels.shape[1] ** 0.5).float()
