"""Train each mixer to reproduce its attention's output from the same input."""

import torch
from torch import Tensor

from transmamba_mm.distillers.base import BaseDistiller
from transmamba_mm.errors import UserError
from transmamba_mm.registry import DISTILLERS
from transmamba_mm.transfer.features.features import FeatureKind, Features
from transmamba_mm.transfer.features.model_match import ModelMatch

KINDS = (FeatureKind.MIXER_INPUTS, FeatureKind.MIXER_OUTPUTS)


@DISTILLERS.register_module()
class MixerAlignment(BaseDistiller):
    """``L = mean over layers of |mixer(x) - attention(x)|² / |attention(x)|²``.

    x is what the teacher's attention reads in its layer. So all layers are aligned at once, none
    gets another's errors, and only the teacher and the mixers run, not the student. No label is
    used, though a language model reads answers behind their questions. Padding of text does not
    count. It comes first in a stage of its own, with ``trains='mixers'``::

        stages=[
            dict(name='mixer alignment', share=0.3, trains='mixers',
                 distiller=dict(type='transmamba_mm.MixerAlignment')),
            dict(name='end to end', share=0.7),
        ]

    After the second stage of MOHAWK (arXiv 2408.10189) and the first of mmMamba (arXiv 2502.13145).

    Args:
        match (ModelMatch): See :class:`BaseDistiller`.

    Raises:
        UserError: Layers of other widths than the teacher's.
    """

    runs_mixers = True

    def __init__(self, match: ModelMatch) -> None:
        super().__init__(match, 0.0, {FeatureKind.MIXER_OUTPUTS}, KINDS)
        for layer in match.layers:
            if layer.student_dims != layer.teacher_dims:
                raise UserError(
                    f'MixerAlignment: student layer {layer.student} is {layer.student_dims} wide, '
                    f'its teacher layer {layer.teacher} {layer.teacher_dims}, so the mixer cannot '
                    "read the attention's input: use a student as wide as its teacher, such as "
                    'AttentionSwap or CausalAttentionSwap, or leave the stage out.'
                )

    def compare_features(self, student: Features, teacher: Features) -> dict[str, Tensor]:
        """Compare mixer outputs for the same inputs."""
        errors = []
        for ours, theirs in zip(student.mixer_outputs, teacher.mixer_outputs, strict=True):
            pairs = [(ours.patches, theirs.patches)]
            if ours.cls is not None and theirs.cls is not None:
                pairs.append((ours.cls, theirs.cls))
            squares = sum((one.float() - other.float()).square().sum() for one, other in pairs)
            errors.append(squares / sum(other.float().square().sum() for _, other in pairs))
        return {'alignment_loss': torch.stack(errors).mean()}
