"""Distillation by logits alone, the baseline."""

from torch import Tensor

from transmamba_mm.checks import NOT_NEGATIVE, POSITIVE, checked, one_of
from transmamba_mm.distillers.base import BaseDistiller
from transmamba_mm.distillers.label_losses import hard_label_loss, soft_label_loss
from transmamba_mm.registry import DISTILLERS
from transmamba_mm.transfer.features.features import FeatureKind, Features
from transmamba_mm.transfer.features.model_match import ModelMatch


@DISTILLERS.register_module()
class LogitsDistiller(BaseDistiller):
    """``L = task_weight * L_task + weight * L_labels``, with labels from the teacher.

    The teacher runs on the student's own images, augmented and mixed: a patient and consistent
    teacher (Beyer et al., arXiv 2106.05237).

    Args:
        match (ModelMatch): See :class:`BaseDistiller`.
        kind (str): 'soft', the teacher's distribution (Hinton et al., arXiv 1503.02531), or 'hard',
            its decision (DeiT, arXiv 2012.12877).
        temperature (float): Softens both distributions; only for 'soft'.
        weight (float): Factor of the labels' loss.
        task_weight (float): Factor of the student's own losses.

    Raises:
        UserError: An unknown kind, or a temperature that is not positive; vocabularies that
            differ.
    """

    @checked(kind=one_of('soft', 'hard'), temperature=POSITIVE, weight=NOT_NEGATIVE)
    def __init__(
        self,
        match: ModelMatch,
        kind: str = 'soft',
        temperature: float = 2.0,
        weight: float = 0.5,
        task_weight: float = 0.5,
    ) -> None:
        super().__init__(match, task_weight, {FeatureKind.LOGITS})
        self.kind = kind
        self.temperature = temperature
        self.weight = weight

    def compare_outputs(self, student: Features, teacher: Features) -> dict[str, Tensor]:
        """Compare the logits (B, classes) of both models."""
        if self.kind == 'hard':
            loss = hard_label_loss(student.logits, teacher.logits)
        else:
            loss = soft_label_loss(student.logits, teacher.logits, self.temperature)
        return {'logits_loss': self.weight * loss}
