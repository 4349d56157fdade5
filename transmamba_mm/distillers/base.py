"""The base class of distillers."""

from abc import abstractmethod
from collections.abc import Iterable

from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import Tensor

from transmamba_mm.checks import FRACTION, checked
from transmamba_mm.errors import UserError
from transmamba_mm.transfer.features.features import FeatureKind, Features
from transmamba_mm.transfer.features.model_match import ModelMatch


class BaseDistiller(BaseModule):
    """Compares features of a student with its teacher's and returns losses.

    ``KnowledgeTransfer`` builds it with the match of the two models, reads the features of its
    kinds, multiplies the student's own losses by ``task_weight`` and adds the distiller's to them::

        @DISTILLERS.register_module()
        class MixerMSE(BaseDistiller):
            def __init__(self, match, task_weight=0.5):
                super().__init__(match, task_weight, {FeatureKind.MIXER_OUTPUTS})
                self.projectors = nn.ModuleList(
                    nn.Linear(layer.student_dims, layer.teacher_dims) for layer in match.layers
                )

            def forward(self, student, teacher):
                losses = [
                    F.mse_loss(
                        project(ours.patches), to_grid(theirs.patches, theirs.grid, ours.grid)
                    )
                    for project, ours, theirs in zip(
                        self.projectors, student.mixer_outputs, teacher.mixer_outputs
                    )
                ]
                return {'mixer_loss': torch.stack(losses).mean()}

    Args:
        match (ModelMatch): The matched towers, layers and embeddings, and which kinds these two
            models cannot compare.
        task_weight (float): Factor of the student's own losses, in [0, 1].
        student_kinds (Iterable[FeatureKind]): Kinds of features that are compared.
        teacher_kinds (Iterable[FeatureKind], optional): Kinds of the teacher's features; by default
            the student's.

    Attributes:
        student_kinds, teacher_kinds (frozenset[FeatureKind]): Those without what is unavailable,
            which is logged.

    Raises:
        UserError: ``task_weight`` outside [0, 1]; nothing that these two models can compare.
    """

    @checked(task_weight=FRACTION)
    def __init__(
        self,
        match: ModelMatch,
        task_weight: float,
        student_kinds: Iterable[FeatureKind],
        teacher_kinds: Iterable[FeatureKind] | None = None,
    ) -> None:
        super().__init__()
        self.match = match
        self.task_weight = task_weight
        student = frozenset(student_kinds)
        teacher = student if teacher_kinds is None else frozenset(teacher_kinds)
        self.student_kinds = student.difference(match.unavailable)
        self.teacher_kinds = teacher.difference(match.unavailable)
        self._report_unavailable((student | teacher).intersection(match.unavailable))

    def _report_unavailable(self, kinds: frozenset[FeatureKind]) -> None:
        for kind in sorted(kinds):
            reason, name = self.match.unavailable[kind], kind.value.replace('_', ' ')
            if not self.student_kinds:
                raise UserError(
                    f'{type(self).__name__} compares {name} alone, but {reason}. Use WSAB, which '
                    'compares layers as well, or models that agree.'
                )
            MMLogger.get_current_instance().info(f'No {name} are distilled: {reason}.')

    @abstractmethod
    def forward(self, student: Features, teacher: Features) -> dict[str, Tensor]:
        """Compare features of the same images.

        Returns:
            dict[str, Tensor]: Scalars. Those whose key contains 'loss' are summed into the training
            loss by mmengine, the others are only logged.
        """
