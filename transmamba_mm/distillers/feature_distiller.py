"""The base class of distillers that compare features beside soft labels."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from transmamba_mm.checks import NOT_NEGATIVE, POSITIVE, checked
from transmamba_mm.distillers.base import BaseDistiller
from transmamba_mm.distillers.label_losses import soft_label_loss
from transmamba_mm.transfer.features.features import FeatureKind, Features
from transmamba_mm.transfer.features.model_match import ModelMatch


class FeatureDistiller(BaseDistiller):
    """``L = task_weight * L_task + logits_weight * T^2 * KL`` and what the subclass compares.

    Args:
        match (ModelMatch): See :class:`BaseDistiller`.
        task_weight (float): Factor of the student's own losses.
        logits_weight (float): Factor of the soft labels; 0 switches them off.
        temperature (float): T of the soft labels.
        student_kinds, teacher_kinds (Iterable[FeatureKind]): Kinds of features besides logits.
        **options: Other arguments of :class:`BaseDistiller`.

    Raises:
        UserError: A factor below 0, a temperature not above it.
    """

    @checked(logits_weight=NOT_NEGATIVE, temperature=POSITIVE)
    def __init__(
        self,
        match: ModelMatch,
        task_weight: float,
        logits_weight: float,
        temperature: float,
        student_kinds: Iterable[FeatureKind],
        teacher_kinds: Iterable[FeatureKind] | None = None,
        **options: Any,
    ) -> None:
        logits = {FeatureKind.LOGITS} if logits_weight > 0 else set()
        student = {*student_kinds}
        teacher = student if teacher_kinds is None else {*teacher_kinds}
        super().__init__(match, task_weight, student | logits, teacher | logits, **options)
        self.logits_weight = logits_weight
        self.temperature = temperature

    def compare_outputs(self, student: Features, teacher: Features) -> dict[str, Tensor]:
        """``logits_loss``, if it has a weight and the models agree."""
        if FeatureKind.LOGITS not in self.student_kinds:
            return {}
        loss = soft_label_loss(student.logits, teacher.logits, self.temperature)
        return {'logits_loss': self.logits_weight * loss}
