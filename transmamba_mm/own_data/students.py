"""Students by name: a family and an arch, or the teacher with its attention swapped."""

from typing import Any

import torch
from mmengine.registry import DefaultScope

from transmamba_mm.convert.teachers import PretrainedClassifier
from transmamba_mm.errors import UserError, did_you_mean
from transmamba_mm.models.backbones import plainmamba, videomamba, vim, vmamba
from transmamba_mm.models.layouts import layout_of
from transmamba_mm.registry import MODELS

SWAP = 'swap'
#: Name of a family -> type, archs, and the settings of a new model.
FAMILIES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    'vim': ('Vim', vim.ARCHS, {}),
    'vmamba': ('VMamba', vmamba.ARCHS, {}),
    'plainmamba': (
        'PlainMamba',
        plainmamba.ARCHS,
        {'parameters_in_raster_order': False, 'double_dt_bias': False},
    ),
    'videomamba': ('VideoMamba', videomamba.ARCHS, {}),
}
#: Families whose patches are 4 pixels, merged three times.
HIERARCHICAL = ('vmamba',)


def student_names() -> list[str]:
    """All names, such as 'vim-small'."""
    return [f'{family}-{arch}' for family, (_, archs, _) in FAMILIES.items() for arch in archs] + [
        SWAP
    ]


def build_backbone_config(
    name: str, size: int, teacher: PretrainedClassifier
) -> tuple[dict[str, Any], int]:
    """Config of a student's backbone, and the width of its last feature.

    Args:
        name (str): One of :func:`student_names`.
        size (int): Side of its images, in pixels.
        teacher (PretrainedClassifier): Its channels are the student's, and its patches those of a
            student that is not hierarchical; 'swap' takes its backbone.

    Raises:
        UserError: An unknown name.
    """
    names = {known.lower(): known for known in student_names()}
    if name.lower() not in names:
        raise UserError(
            f'Unknown student {name!r}.{did_you_mean(name.lower(), list(names))} '
            f'Choose one of {", ".join(names.values())}.'
        )
    known = names[name.lower()]
    if known == SWAP:
        backbone = {'type': 'transmamba_mm.AttentionSwap', 'transformer': teacher.model['backbone']}
        return backbone, 0  # the head is the teacher's
    family, _, arch = known.partition('-')
    kind, _, settings = FAMILIES[family]
    backbone = {'type': f'transmamba_mm.{kind}', 'arch': arch, 'in_channels': teacher.in_channels}
    if family not in HIERARCHICAL:
        backbone |= {'img_size': size, 'patch_size': teacher.patch_size}
    backbone |= settings
    with DefaultScope.overwrite_default_scope('transmamba_mm'), torch.device('meta'):
        width = layout_of(MODELS.build(backbone)).layer_dims()[-1]
    return backbone, width
