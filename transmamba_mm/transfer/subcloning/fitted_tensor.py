"""A teacher tensor on its way into a student parameter, with what was done to it."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.transfer.subcloning.rules import Axis, Clone

#: What to do, by the meaning of the axis that differs.
FIXES: dict[Axis | None, str] = {
    Axis.CLASSES: 'Use a teacher of the same classes (a projection: of the same embed_dims)',
    Axis.IMAGE: 'Use the same in_channels in both',
}
#: When several of these were needed, the report names the first.
STATUSES = ('sliced', 'padded', 'tiled', 'resized', 'cloned')


@dataclass
class FittedTensor:
    """A teacher tensor on its way into a student parameter.

    Attributes:
        rule (Clone): The rule that is followed.
        layer (int | None): Number of the teacher layer.
        key, source (str): The student's key, the teacher's key.
        name (str): Name of the parameter in the whole student.
        shape (tuple[int, ...]): Of the teacher's tensor, whole.
        value (Tensor): What is left of its tensor.
        target (Tensor): View of the student's parameter.
        region (list): Indices of ``target`` that ``value`` goes to.
        statuses (list[str]): What had to be done, in the words of :class:`TransferLine`.
        notes (list[str]): The same in detail.
    """

    rule: Clone
    layer: int | None
    key: str
    source: str
    name: str
    shape: tuple[int, ...]
    value: Tensor
    target: Tensor
    region: list[Any]
    statuses: list[str] = field(default_factory=lambda: ['cloned'])
    notes: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        """The one word of the report."""
        return min(self.statuses, key=STATUSES.index)

    def note(self, status: str, detail: str) -> None:
        """Remember something that was done."""
        self.statuses.append(status)
        self.notes.append(detail)

    def sizes(self, axis: int) -> tuple[int, int]:
        """Entries of the teacher and of the student along an axis."""
        return self.value.shape[axis], self.target.shape[axis]

    def misfit(self, difference: str, axis: Axis | None = None) -> UserError:
        """The error of a teacher's tensor that does not fit, by the axis that differs."""
        fix = FIXES.get(axis, 'Use models that fit')
        return UserError(
            f'The rule {self.rule.name!r} cannot take {self.source} {self.shape} of the teacher to '
            f'{self.name} {tuple(self.target.shape)} of the student: {difference}. {fix}, or '
            f'add {self.name!r} to subcloning.skip.'
        )
