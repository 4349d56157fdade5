"""Fold a norm of the teacher into the projection behind it (see ``NormFold``)."""

from collections.abc import Collection

from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.transfer.subcloning.channel_choice import ChannelChoice
from transmamba_mm.transfer.subcloning.refit import SLOPES, hidden_refit
from transmamba_mm.transfer.subcloning.rules import Clone, NormFold
from transmamba_mm.transfer.subcloning.sides import TeacherWeights


class NormFolder:
    """Fold the norm of one layer, with its bias, into the following projection.

    Args:
        fold (NormFold): Names of the norm and of the projection.
        teacher (TeacherWeights): Has them.
        layer (int): Number of the teacher layer.
        student (Collection[str]): Names of the student's parameters.
        path (str): Of the student's layer.

    Attributes:
        used (set[str]): Teacher tensors that something was taken from.
    """

    def __init__(
        self,
        fold: NormFold,
        teacher: TeacherWeights,
        layer: int,
        student: Collection[str],
        path: str,
    ) -> None:
        self.teacher = teacher
        self.layer = layer
        self.norm, self.linear = (
            name.replace('#', str(layer)) for name in (fold.norm, fold.linear)
        )
        self.has_in_bias, self.has_norm_bias = (
            name.replace('{layer}', path) in student for name in (fold.in_bias, fold.norm_bias)
        )
        self.used: set[str] = set()

    def scale(self, matrix: Tensor) -> Tensor:
        """The matrix (rows, D) times the weight of the norm."""
        self.used.add(f'{self.norm}.weight')
        return matrix * self.teacher.tensors[f'{self.norm}.weight'].to(matrix)

    def read(self, matrix: Tensor, rows: ChannelChoice) -> tuple[Tensor, str]:
        """Take the mean of the channels off, read the constant where it is the norm's to carry.

        Args:
            matrix (Tensor): (n, D) of :meth:`scale`, of the student's rows and channels.
            rows (ChannelChoice): Its rows.

        Returns:
            tuple[Tensor, str]: The matrix, and a note for the report.
        """
        if f'{self.norm}.bias' not in self.teacher.tensors:
            return matrix, f'with {self.norm}'  # an RMS norm, which leaves the mean in
        matrix = matrix - matrix.mean(dim=1, keepdim=True)
        if self.has_in_bias or not self.has_norm_bias:
            return matrix, f'with {self.norm}'
        constant = rows.take(self.constant(), 0, fan_in=False).to(matrix)
        return matrix + constant[:, None] / matrix.shape[1], f'with {self.norm} and its constant'

    def constant(self) -> Tensor:
        """The projection of the norm's bias, plus its own bias, (rows,)."""
        tensors = self.teacher.tensors
        matrix = tensors[f'{self.linear}.weight']
        shift, bias = f'{self.norm}.bias', f'{self.linear}.bias'
        self.used |= {shift, bias} & tensors.keys()
        constant = matrix.new_zeros(len(matrix))
        if shift in tensors:
            constant = constant + matrix @ tensors[shift]
        return constant + tensors[bias] if bias in tensors else constant

    def refit(self, rule: Clone, choice: ChannelChoice) -> Tensor:
        """All hidden channels of the MLP in terms of the kept ones, (H, E)."""
        constants = self.has_in_bias or self.has_norm_bias
        slope = slope_of(rule, self.teacher)
        return hidden_refit(
            self.teacher.tensors, self.layer, choice.sources.cpu(), slope, constants
        )


def slope_of(rule: Clone, teacher: TeacherWeights) -> float:
    """Slope of the activation of the teacher's MLPs, see ``SLOPES``.

    Raises:
        UserError: An activation that has none, or a gated MLP.
    """
    if teacher.activation in SLOPES:
        return SLOPES[teacher.activation]
    found = 'gated' if teacher.activation is None else f'of {teacher.activation}'
    raise UserError(
        f'The rule {rule.name!r} takes MLPs of {", ".join(SLOPES)}, but those of the teacher are '
        f"{found}: use another teacher, or a layer_map without 'alternate' and 'mlp of'."
    )
