"""Models of several backbones, each of which can be taught by its counterpart in a teacher."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

IMAGES, TEXT = 'images', 'text'
#: Linear layers in the heads of mmpretrain's classifiers, and their canonical names. Of a distilled
#: DeiT's two, the cls token's goes with the cls token.
CLASSIFIER_HEADS = {
    'head.fc': 'head',
    'head.layers.head': 'head',
    'head.layers.head_dist': 'head_dist',
}


@dataclass(frozen=True)
class Tower:
    """One backbone of a model, and where it is.

    Attributes:
        path (str): Module path inside the model, such as ``'vision'``.
        backbone (nn.Module): One that ``transmamba_mm.models.layouts.layout_of`` has a layout for.
        reads (str): ``'images'``: its tokens are patches on a grid; ``'text'``: they are what the
            model's :class:`~transmamba_mm.models.token_batch.TokenBatch` say.
        heads (Mapping[str, str]): Paths of the linear layers behind it, by canonical name: ``head``
            of a classifier or a projection to a common space, ``lm_head`` of a language model.
    """

    path: str
    backbone: Any
    reads: str = IMAGES
    heads: Mapping[str, str] = field(default_factory=dict)


def towers_of(model: nn.Module) -> dict[str, Tower]:
    """The towers of a model in depth order; a classifier has one, its ``backbone``."""
    if hasattr(model, 'towers'):
        return model.towers()
    modules = dict(model.named_modules())
    heads = {name: path for path, name in CLASSIFIER_HEADS.items() if path in modules}
    return {'backbone': Tower('backbone', model.backbone, heads=heads)}
