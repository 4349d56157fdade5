"""The base class of distillers."""

from collections.abc import Iterable, Sequence

from mmengine.dist import is_distributed
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import Tensor

from transmamba_mm.checks import COUNT, FRACTION, SHARE, Number, checked
from transmamba_mm.errors import UserError
from transmamba_mm.transfer.features.features import MODEL_KINDS, FeatureKind, Features
from transmamba_mm.transfer.features.model_match import LayerMatch, ModelMatch
from transmamba_mm.transfer.progress import Progress

#: Share of the patches that may be hidden from the student.
MOST_MASKED = 0.95


class BaseDistiller(BaseModule):
    """Compares features of a student with its teacher's and returns losses.

    ``KnowledgeTransfer`` builds it with the match of the two models, reads the features of its
    kinds, multiplies the student's own losses by ``task_weight`` and adds the distiller's to them.
    A subclass compares features of layers in :meth:`compare_features`, logits and final embeddings
    in :meth:`compare_outputs`::

        @DISTILLERS.register_module()
        class MixerMSE(BaseDistiller):
            def __init__(self, match, task_weight=0.5, feature_end=None):
                kinds = {FeatureKind.MIXER_OUTPUTS}
                super().__init__(match, task_weight, kinds, feature_end=feature_end)
                self.projectors = nn.ModuleList(
                    nn.Linear(layer.student_dims, layer.teacher_dims) for layer in match.layers
                )

            def compare_features(self, student, teacher):
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
        student_kinds (Iterable[FeatureKind]): Kinds of the compared features.
        teacher_kinds (Iterable[FeatureKind], optional): Kinds of the teacher's features; by default
            the student's.
        feature_layers (Sequence[int], optional): Which of ``match.layers`` have features that are
            compared, by index; by default all.
        feature_end (float, optional): Share of the steps, of the training or of its stage, over
            which the losses of :meth:`compare_features` decay, linearly, from their full weight to
            nothing; then features are neither recorded nor compared, and the log repeats the last
            values of what only they report. By default they keep their weight. Features that are
            matched to the end of a long training cost accuracy: CAB reaches 71.3 on ImageNet where
            soft labels alone reach 74.6.
        layer_stride (int): Compare every n-th of these layers in a step, beginning with the next
            one in the next step, so that each layer has its turn every n steps. Features of the
            others are not recorded, which saves most of their cost.
        mask_ratio (float): Share of the patches that are hidden from the student, and not from the
            teacher, while features of layers are compared (masked prediction; see
            :func:`~transmamba_mm.transfer.features.masking.mask_images`).

    Attributes:
        student_kinds, teacher_kinds (frozenset[FeatureKind]): The available ones;
            the others are logged.
        progress (Progress): Of the training; ``KnowledgeTransfer`` sets it before each step.

    Raises:
        UserError: ``task_weight`` or ``feature_end`` outside of its range; nothing that these two
            models can compare; ``feature_end`` or ``layer_stride`` without features of layers; more
            layers skipped than matched.
    """

    #: Only the teacher runs, and each mixer of the student on what the teacher's attention reads.
    runs_mixers = False

    @checked(
        task_weight=FRACTION,
        feature_end=SHARE,
        layer_stride=COUNT,
        mask_ratio=Number(0, MOST_MASKED),
    )
    def __init__(
        self,
        match: ModelMatch,
        task_weight: float,
        student_kinds: Iterable[FeatureKind],
        teacher_kinds: Iterable[FeatureKind] | None = None,
        feature_layers: Sequence[int] | None = None,
        feature_end: float | None = None,
        layer_stride: int = 1,
        mask_ratio: float = 0.0,
    ) -> None:
        super().__init__()
        self.match = match
        self.task_weight = task_weight
        student = frozenset(student_kinds)
        teacher = student if teacher_kinds is None else frozenset(teacher_kinds)
        self.student_kinds = student.difference(match.unavailable)
        self.teacher_kinds = teacher.difference(match.unavailable)
        self._report_unavailable((student | teacher).intersection(match.unavailable))
        compares_layers = bool(self.student_kinds - MODEL_KINDS)
        if compares_layers:
            match.require_layers(type(self).__name__)
        every = range(len(match.layers)) if compares_layers else ()
        self.feature_layers = tuple(every if feature_layers is None else feature_layers)
        self.feature_end = feature_end
        self.layer_stride = layer_stride
        self.mask_ratio = mask_ratio
        self._check_features()
        self.progress = Progress()

    def _check_features(self) -> None:
        """UserError for settings of features that change nothing."""
        name, num_layers = type(self).__name__, len(self.feature_layers)
        if self.feature_end is not None and not num_layers:
            raise UserError(
                f'feature_end={self.feature_end} of {name} ends features of layers, but none are '
                'compared: remove it, or give one of their terms a weight.'
            )
        if self.layer_stride > max(num_layers, 1):
            raise UserError(
                f'layer_stride={self.layer_stride} of {name}, but it compares {num_layers} layers: '
                f'choose at most {max(num_layers, 1)}.'
            )
        if self.mask_ratio and not num_layers:
            raise UserError(
                f'mask_ratio={self.mask_ratio} of {name} hides patches whose features are to be '
                'predicted, but no features of layers are compared: remove it, or give one of '
                'their terms a weight.'
            )

    def _report_unavailable(self, kinds: frozenset[FeatureKind]) -> None:
        for kind in sorted(kinds):
            reason, name = self.match.unavailable[kind], kind.value.replace('_', ' ')
            if not self.student_kinds:
                raise UserError(
                    f'{type(self).__name__} compares {name} alone, but {reason}. Use WSAB, which '
                    'compares layers as well, or models that agree.'
                )
            MMLogger.get_current_instance().info(f'No {name} are distilled: {reason}.')

    @property
    def feature_weight(self) -> float:
        """Factor of the losses of features in this step; see ``feature_end``."""
        if self.feature_end is None:
            return 1.0
        return max(0.0, 1 - self.progress.share / self.feature_end)

    @property
    def compared_layers(self) -> tuple[int, ...]:
        """Indices of ``match.layers`` that this step compares; empty without features."""
        if self.feature_weight == 0:
            return ()
        return self.feature_layers[self.progress.step % self.layer_stride :: self.layer_stride]

    @property
    def compared_matches(self) -> list[LayerMatch]:
        """The matches of :attr:`compared_layers`."""
        return [self.match.layers[i] for i in self.compared_layers]

    def forward(self, student: Features, teacher: Features) -> dict[str, Tensor]:
        """Compare features of the same images.

        Args:
            student, teacher (Features): Entry i of a list of layers belongs to entry i of
                :attr:`compared_layers`.

        Returns:
            dict[str, Tensor]: Scalars. Those whose key contains 'loss' are summed into the training
            loss by mmengine, the others are only logged.
        """
        outputs = {}
        if self.compared_layers:
            for key, value in self.compare_features(student, teacher).items():
                outputs[key] = self.feature_weight * value if 'loss' in key else value
        outputs |= self.compare_outputs(student, teacher)
        parameters = [*self.parameters()]
        if is_distributed() and parameters and self.compared_layers != self.feature_layers:
            # DDP waits for a gradient of every parameter, also of skipped layers.
            outputs['unused_loss'] = sum(0 * p.sum() for p in parameters)
        return outputs

    def compare_features(self, student: Features, teacher: Features) -> dict[str, Tensor]:
        """Losses and other scalars from features of layers, at their full weight."""
        return {}

    def compare_outputs(self, student: Features, teacher: Features) -> dict[str, Tensor]:
        """Losses and other scalars from logits and final embeddings."""
        return {}
