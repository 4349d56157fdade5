"""FitNets: a hint from the middle of the teacher."""

from torch import Tensor, nn

from transmamba_mm.checks import POSITIVE, check, checked, one_of
from transmamba_mm.distillers.feature_distiller import FeatureDistiller
from transmamba_mm.registry import DISTILLERS
from transmamba_mm.transfer.features.alignment import to_grid
from transmamba_mm.transfer.features.features import FeatureKind, Features
from transmamba_mm.transfer.features.model_match import ModelMatch


@DISTILLERS.register_module()
class FitNets(FeatureDistiller):
    """Regress one hidden layer of the teacher (Romero et al., arXiv 1412.6550).

    ::

        L = task_weight * L_task + logits_weight * T^2 * KL
            + hint_weight * 1/2 * mean (t - r(s))^2

    where s are the patch tokens of the guided layer of the student, t those of the hint layer of
    the teacher, and r is a linear regressor, the paper's 1x1 convolution. The paper sums over
    elements; the mean keeps the weight independent of widths. It trains the lower half with the
    hint alone first and the whole student with soft labels then: here both are trained at once, as
    in later comparisons (CRD, arXiv 1910.10699), and ``feature_end`` ends the hint.

    Args:
        match (ModelMatch): See :class:`BaseDistiller`.
        task_weight (float): Factor of the student's own losses.
        logits_weight (float): Factor of the soft labels.
        temperature (float): T of the soft labels.
        hint_weight (float): Factor of the hint.
        guided_layer (int, optional): The student's layer, counted from 0; its hint layer is the
            teacher's of the layer map. By default the middle one of those that have one.
        feature_end (float, optional): See :class:`BaseDistiller`.

    Raises:
        UserError: A layer without a teacher layer; a factor below 0, a temperature not above it.
    """

    @checked(hint_weight=POSITIVE)
    def __init__(
        self,
        match: ModelMatch,
        task_weight: float = 0.5,
        logits_weight: float = 0.5,
        temperature: float = 2.0,
        hint_weight: float = 1.0,
        guided_layer: int | None = None,
        feature_end: float | None = None,
    ) -> None:
        match.require_layers('FitNets')
        layers = [layer.student for layer in match.layers]
        if guided_layer is None:
            guided_layer = layers[(len(layers) - 1) // 2]
        check('FitNets', 'guided_layer', guided_layer, one_of(*layers))
        index = layers.index(guided_layer)
        super().__init__(
            match,
            task_weight,
            logits_weight,
            temperature,
            {FeatureKind.LAYER_FEATURES},
            feature_layers=[index],
            feature_end=feature_end,
        )
        self.hint_weight = hint_weight
        layer = match.layers[index]
        self.regressor = nn.Linear(layer.student_dims, layer.teacher_dims)

    def compare_features(self, student: Features, teacher: Features) -> dict[str, Tensor]:
        """``hint_loss``."""
        ours, theirs = student.layer_features[0], teacher.layer_features[0]
        hint = to_grid(theirs.patches, theirs.grid, ours.grid)  # (B, L, Dt)
        difference = hint.float() - self.regressor(ours.patches).float()
        return {'hint_loss': self.hint_weight * 0.5 * difference.square().mean()}
