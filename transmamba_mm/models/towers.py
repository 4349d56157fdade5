"""Models of several backbones, each of which can be taught by its counterpart in a teacher."""

from dataclasses import dataclass
from typing import Any

from torch import nn

IMAGES, TEXT = 'images', 'text'


@dataclass(frozen=True)
class Tower:
    """One backbone of a model, and where it is.

    Attributes:
        path (str): Module path inside the model, such as ``'vision'``.
        backbone (nn.Module): Something :func:`~transmamba_mm.models.teachers.token_layout` knows.
        reads (str): ``'images'``: its tokens are patches on a grid; ``'text'``: they are what the
            model's :class:`~transmamba_mm.models.sequences.Sequences` say.
        head (str, optional): Path of the linear layer behind it, such as a projection to a common
            space. Subcloning treats it as a classifier's head.
    """

    path: str
    backbone: Any
    reads: str = IMAGES
    head: str | None = None


def towers_of(model: nn.Module) -> dict[str, Tower]:
    """The towers of a model in depth order; a classifier has one, its ``backbone``."""
    if hasattr(model, 'towers'):
        return model.towers()
    return {'backbone': Tower('backbone', model.backbone)}
