"""The base class of distillers."""

from abc import abstractmethod
from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor

from transmamba_mm.checks import FRACTION, checked
from transmamba_mm.transfer.features.features import Features, LayerMatch


class BaseDistiller(BaseModule):
    """Compares a student's record with its teacher's and returns losses.

    ``KnowledgeTransfer`` builds it, tells it the matched layers, records only what it says it uses,
    multiplies the student's own losses by ``task_weight`` and adds the distiller's to them.

    Args:
        pairs (Sequence[LayerMatch]): The matched layers; entry i of every list in a record belongs
            to pair i.
        task_weight (float): Factor of the student's own losses, in [0, 1].

    Attributes:
        uses_layers (bool): Needs the features of the layers.
        uses_directions (bool): Needs what each scan direction contributes.
        uses_logits (bool): Needs both models' logits.

    Raises:
        UserError: ``task_weight`` outside [0, 1].
    """

    uses_layers = False
    uses_directions = False
    uses_logits = False

    @checked(task_weight=FRACTION)
    def __init__(self, pairs: Sequence[LayerMatch], task_weight: float) -> None:
        super().__init__()
        self.pairs = list(pairs)
        self.task_weight = task_weight

    @property
    def uses_features(self) -> bool:
        """Whether the teacher's features are needed, for layers or for directions."""
        return self.uses_layers or self.uses_directions

    @abstractmethod
    def forward(self, student: Features, teacher: Features) -> dict[str, Tensor]:
        """Compare two records of the same images.

        Returns:
            dict[str, Tensor]: Scalars. Those whose key contains 'loss' are summed into the training
            loss by mmengine, the others are only logged.
        """
