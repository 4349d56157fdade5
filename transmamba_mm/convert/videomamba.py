"""VideoMamba's released checkpoint formats (OpenGVLab/VideoMamba), both ways.

Checkpoints of image models (a 2-D patch kernel, no positions in time) and of clip models have the
same names, and both load into our :class:`VideoMamba`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from transmamba_mm.convert import bidirectional
from transmamba_mm.convert.bidirectional import (
    CLS_TOKEN,
    PATCH_KERNEL,
    POS_EMBED,
    read_backbone,
)
from transmamba_mm.convert.shapes import classifier_config
from transmamba_mm.key_map import KeyMap
from transmamba_mm.models.backbones.videomamba import VideoMamba

TEMPORAL = 'backbone.temporal_pos_embed'
NAMES = KeyMap({**bidirectional.NAMES, 'cls_token': CLS_TOKEN, 'temporal_pos_embedding': TEMPORAL})
HINT = 'Decoders of masked pretraining and one-directional blocks are not supported.'


def from_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our names for an official state dict; UserError names the keys without one."""
    return NAMES.rename_all(state_dict, 'official VideoMamba', HINT)


def to_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official names for our state dict; UserError names the keys without one.

    A model of one frame is one of images officially: its kernel is 2-D, and its only position in
    time is part of those in space.
    """
    return NAMES.inverse().rename_all(_of_images(state_dict), "our VideoMamba's", HINT)


def _of_images(state_dict: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The weights of a model of one frame as those of an image model; others as they are."""
    if not {PATCH_KERNEL, POS_EMBED, TEMPORAL} <= state_dict.keys():
        return state_dict
    kernel, space, time = (state_dict[key] for key in (PATCH_KERNEL, POS_EMBED, TEMPORAL))
    if kernel.dim() != 5 or kernel.shape[2] != 1 or time.shape[1] != 1:
        return state_dict
    space = torch.cat([space[:, :1], space[:, 1:] + time], dim=1)
    of_images = {**state_dict, PATCH_KERNEL: kernel.squeeze(2), POS_EMBED: space}
    del of_images[TEMPORAL]
    return of_images


def model_config(
    state_dict: Mapping[str, Tensor], img_size: int | tuple[int, int], **overrides
) -> dict:
    """Config of the ``ImageClassifier`` for a state dict in our names.

    The model is built for as many frames as the checkpoint has positions in time, one tubelet for
    an image model; ``num_frames`` overrides it. ``tubelet_size`` (officially ``kernel_size``) and
    ``inflate`` select how an image model's patch kernel is converted.

    Raises:
        UserError: A tensor that determines the architecture is missing.
    """
    if 'kernel_size' in overrides:
        overrides['tubelet_size'] = overrides.pop('kernel_size')
    backbone = read_backbone(state_dict, 'VideoMamba')
    kernel = state_dict[PATCH_KERNEL]
    tubelet_size = overrides.pop('tubelet_size', 1 if kernel.dim() == 4 else kernel.shape[2])
    num_tubelets = state_dict[TEMPORAL].shape[1] if TEMPORAL in state_dict else 1
    backbone |= {
        'img_size': img_size,
        'num_frames': num_tubelets * tubelet_size,
        'tubelet_size': tubelet_size,
        **overrides,
    }
    return classifier_config(state_dict, backbone)


def fit_positions(state_dict: Mapping[str, Tensor], backbone: VideoMamba) -> dict[str, Tensor]:
    """Resize the positions of a state dict to the frames and the grid of ``backbone``.

    As in the official code: bicubic in space, from a square grid and without the cls entry; linear
    in time. Weights of an image model become those of a clip model.
    """
    fitted = dict(state_dict)
    backbone.fit_state_dict(fitted, 'backbone.')
    return fitted
