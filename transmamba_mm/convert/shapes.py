"""Infer a model's arguments from keys and shapes of a state dict in our names."""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from transmamba_mm.errors import UserError

HEAD = 'head.fc.weight'


def require(state_dict: Mapping[str, Tensor], keys: Iterable[str], model: str) -> None:
    """UserError that names those of ``keys``, which any ``model`` has, that are missing."""
    if missing := [key for key in keys if key not in state_dict]:
        raise UserError(f'This is no {model}: it lacks {", ".join(missing)}.')


def numbers(state_dict: Mapping[str, Tensor], name: str) -> set[int]:
    """The numbers at ``#`` in the keys that begin with ``name``, as ``backbone.blocks.#.``."""
    pattern = re.compile(re.escape(name).replace(r'\#', r'(\d+)'))
    return {int(found[1]) for found in map(pattern.match, state_dict) if found}


def classifier_config(state_dict: Mapping[str, Tensor], backbone: dict) -> dict:
    """Config of the ``ImageClassifier`` around ``backbone``, with a head if there are weights."""
    head = None
    if HEAD in state_dict:
        num_classes, width = state_dict[HEAD].shape
        head = {'type': 'LinearClsHead', 'num_classes': num_classes, 'in_channels': width}
    return {'type': 'mmpretrain.ImageClassifier', 'backbone': backbone, 'head': head}
