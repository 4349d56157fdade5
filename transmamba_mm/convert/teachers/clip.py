"""CLIP's vision tower, of transformers' folders: a teacher without classes."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from transmamba_mm.convert.teachers.pretrained import ImageSettings, PretrainedClassifier
from transmamba_mm.errors import UserError

KINDS = ('clip', 'clip_vision_model')
PREFIX = 'vision_model.'
PROJECTION = 'visual_projection.weight'


def read_clip(
    state: Mapping[str, Tensor], source: str, config: Mapping[str, Any], settings: ImageSettings
) -> PretrainedClassifier:
    """The vision tower; the head is the projection, whose output is the image's embedding.

    Raises:
        UserError: A CLIP without a vision tower.
    """
    vision = dict(config.get('vision_config') or config)
    tower = {
        f'backbone.model.{key.removeprefix(PREFIX)}': value
        for key, value in state.items()
        if key.startswith(PREFIX) and not key.endswith('position_ids')
    }
    if not tower:
        raise UserError(f'{source} has no vision tower: its weights do not begin with {PREFIX}')
    known = ('hidden_size', 'intermediate_size', 'num_hidden_layers', 'num_attention_heads')
    known += ('image_size', 'patch_size', 'num_channels', 'hidden_act', 'layer_norm_eps')
    backbone = {
        'type': 'transmamba_mm.ClipVision',
        'config': {key: vision[key] for key in known if key in vision},
        'out_type': 'cls_token',
    }
    model: dict[str, Any] = {
        'type': 'ImageClassifier',
        'backbone': backbone,
        'neck': None,
        'head': None,
    }
    projection = state.get(PROJECTION)
    if projection is not None:
        dims, width = projection.shape
        model['head'] = {'type': 'LinearClsHead', 'num_classes': dims, 'in_channels': width}
        tower |= {'head.fc.weight': projection, 'head.fc.bias': projection.new_zeros(dims)}
    size = int(vision.get('image_size', 224))
    return PretrainedClassifier(model, tower, 'transformers', source, (size, size), settings)
