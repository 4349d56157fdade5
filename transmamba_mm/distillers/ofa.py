"""OFA: the student's layers learn in the space of logits."""

import torch
from torch import Tensor, nn

from transmamba_mm.checks import COUNT, NOT_NEGATIVE, Number, checked
from transmamba_mm.distillers.base import BaseDistiller
from transmamba_mm.distillers.label_losses import enhanced_label_loss
from transmamba_mm.errors import UserError
from transmamba_mm.registry import DISTILLERS
from transmamba_mm.transfer.features.alignment import to_grid
from transmamba_mm.transfer.features.features import FeatureKind, Features, TokenFeature
from transmamba_mm.transfer.features.model_match import ModelMatch

#: Side of the largest grid that an exit attends to.
EXIT_GRID = 7
HEADS = 4


class LogitsExit(nn.Module):
    """Turns the tokens of one layer into logits: Transformer blocks, one token, a linear layer.

    Args:
        dims (int): Width D of the tokens.
        num_classes (int): Width of the logits.
        num_blocks (int): Transformer blocks.
    """

    def __init__(self, dims: int, num_classes: int, num_blocks: int) -> None:
        super().__init__()
        heads = HEADS if dims % HEADS == 0 else 1
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    dims, heads, 4 * dims, 0.0, 'gelu', batch_first=True, norm_first=True
                )
                for _ in range(num_blocks)
            )
        )
        self.head = nn.Linear(dims, num_classes)

    def forward(self, feature: TokenFeature) -> Tensor:
        """Logits (B, classes) of the cls token, or of the mean patch where there is none."""
        grid = [min(side, EXIT_GRID) for side in feature.grid]
        tokens = to_grid(feature.patches, feature.grid, grid)
        if feature.cls is None:
            return self.head(self.blocks(tokens).mean(dim=1))
        tokens = torch.cat([feature.cls.unsqueeze(1), tokens], dim=1)
        return self.head(self.blocks(tokens)[:, 0])


@DISTILLERS.register_module()
class OFA(BaseDistiller):
    """One-for-all distillation in the space of logits (OFA-KD, Hao et al., arXiv 2310.19444).

    ::

        L = task_weight * L_task + logits_weight * E(q) + exit_weight * sum_i E(q_i)
        E(q) = -sum_c ((p_c + y_c)^gamma - y_c) * log q_c

    where p is the teacher's distribution, q the student's, q_i that of the exit behind layer i of
    the student, and y the label. Exits are spread evenly over the student's depth, the last one
    behind its last layer, and have the official code's Transformer blocks: as many as exits follow,
    at least one. Where it merges patches by learned layers down to 7 x 7, ours averages them.

    Args:
        match (ModelMatch): See :class:`BaseDistiller`.
        task_weight (float): Factor of the student's own losses.
        logits_weight (float): Factor of the student's logits.
        exit_weight (float): Factor of each exit.
        gamma (float): Strength of the label, at least 1.
        num_exits (int): Exits, at most as many as there are matched layers.
        feature_end (float, optional): See :class:`BaseDistiller`; the paper's exits stay.

    Raises:
        UserError: A student that is no classifier, more exits than layers, a factor below 0, a
            gamma below 1.
    """

    @checked(logits_weight=NOT_NEGATIVE, exit_weight=NOT_NEGATIVE, gamma=Number(1), num_exits=COUNT)
    def __init__(
        self,
        match: ModelMatch,
        task_weight: float = 1.0,
        logits_weight: float = 1.0,
        exit_weight: float = 1.0,
        gamma: float = 1.5,
        num_exits: int = 4,
        feature_end: float | None = None,
    ) -> None:
        match.require_layers('OFA')
        num_layers = len(match.layers)
        if match.num_classes is None:
            raise UserError('OFA compares logits of classes, but the student is no classifier.')
        if num_exits > num_layers:
            raise UserError(
                f'num_exits={num_exits} of OFA, but layer_map matches {num_layers} student layers: '
                f'choose at most {num_layers}.'
            )
        # -(-a // b) is the ceiling of a / b.
        layers = [-(-(i + 1) * num_layers // num_exits) - 1 for i in range(num_exits)]
        kinds = {FeatureKind.LAYER_FEATURES, FeatureKind.LOGITS, FeatureKind.LABELS}
        super().__init__(
            match,
            task_weight,
            kinds,
            {FeatureKind.LOGITS},
            feature_layers=layers,
            feature_end=feature_end,
        )
        self.logits_weight = logits_weight
        self.exit_weight = exit_weight
        self.gamma = gamma
        self.exits = nn.ModuleList(
            LogitsExit(
                match.layers[layer].student_dims, match.num_classes, max(num_exits - 1 - i, 1)
            )
            for i, layer in enumerate(layers)
        )

    def compare_features(self, student: Features, teacher: Features) -> dict[str, Tensor]:
        """``exit0_loss`` and those of the other exits."""
        losses = {}
        for i, (exit_, feature) in enumerate(zip(self.exits, student.layer_features, strict=True)):
            loss = enhanced_label_loss(exit_(feature), teacher.logits, student.labels, self.gamma)
            losses[f'exit{i}_loss'] = self.exit_weight * loss
        return losses

    def compare_outputs(self, student: Features, teacher: Features) -> dict[str, Tensor]:
        """``logits_loss``."""
        loss = enhanced_label_loss(student.logits, teacher.logits, student.labels, self.gamma)
        return {'logits_loss': self.logits_weight * loss}
