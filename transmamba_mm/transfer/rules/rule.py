"""The words in which a table says how one family's weights become another's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from torch import Tensor

#: Part 0 of 1.
WHOLE = (0, 1)


class Axis(Enum):
    """What the entries along one axis of a weight tensor are.

    ``*_IN`` marks a fan-in: an axis that is summed over when the tensor is applied.
    """

    RESIDUAL = 'residual channels'
    RESIDUAL_IN = 'residual channels read'
    INNER = 'inner channels'
    INNER_IN = 'inner channels read'
    HIDDEN = 'hidden channels of the MLP'
    HIDDEN_IN = 'hidden channels of the MLP read'
    STATE = 'rows of query and key'
    CLASSES = 'classes'
    IMAGE = 'image channels'
    FRAMES = 'frames of a tubelet'
    PATCH = 'pixels of a patch'
    TOKENS = 'positions'
    CLS = 'cls tokens'
    OTHER = 'entries'


@dataclass(frozen=True)
class Clone:
    """Student weights that start from teacher weights.

    Attributes:
        name (str): What the rule does, for the report.
        student (str): Key of the student's parameter; ``{layer}`` stands for the path of a student
            layer.
        teacher (tuple[str, ...]): Keys of the teacher's tensor, the first that exists counts;
            ``{layer}`` stands for the path of the teacher layer that the layer map gives.
        axes (tuple[Axis, ...]): What each axis is, the same for both tensors; only the student's
            has the axis ``FRAMES``.
        teacher_part (tuple[int, int]): (i, n): the rule takes part i of n equal parts of axis 0,
            where several matrices are stacked in one tensor.
        rows_of (str | None): Key of the student's matrix that reads what this parameter writes:
            the rule is about as many of its first rows as that one has columns. By default all.
        gain (str | None): Key of a teacher's factor per entry of axis 0 that is multiplied in; a
            teacher without it has no such factor.
        optional (bool): Not every student of the family has the parameter.
    """

    name: str
    student: str
    teacher: tuple[str, ...]
    axes: tuple[Axis, ...]
    teacher_part: tuple[int, int] = WHOLE
    rows_of: str | None = None
    gain: str | None = None
    optional: bool = False

    def find_teacher(self, teacher: Mapping[str, Tensor], layer: str) -> str | None:
        """Key of the tensor the rule takes for a teacher layer, None if it has none."""
        keys = (key.replace('{layer}', layer) for key in self.teacher)
        return next((key for key in keys if key in teacher), None)


@dataclass(frozen=True)
class Keep:
    """Student weights that keep their own initialization, and why.

    Attributes:
        student (str): Key; ``{layer}`` as in :class:`Clone`, ``*`` stands for one name and ``**``
            for any number of them.
        reason (str): For the report.
        mimic (Callable | None): What ``mimic_scan=True`` does to the parameter, in place. The first
            line of its docstring goes into the report.
    """

    student: str
    reason: str
    mimic: Callable[[Tensor], None] | None = None


@dataclass(frozen=True)
class Refuse:
    """Student weights that show that another table is meant.

    Attributes:
        student (str): Key, as in :class:`Keep`.
        teacher (str): Key of the teacher's tensor that such weights start from, ``{layer}`` as in
            :class:`Clone`.
        fix (str): What to do.
    """

    student: str
    teacher: str
    fix: str


@dataclass(frozen=True)
class RuleTable:
    """All that subcloning knows about a pair of families.

    Attributes:
        student_layer, teacher_layer (str): What the path of a layer looks like on each side, '#'
            for every number: 'blocks.#', 'stages.#.blocks.#'.
        rules (tuple[Clone | Keep | Refuse, ...]): The first whose pattern fits a parameter counts.
        stream (dict[str, tuple[Axis, ...]]): Axes of every teacher tensor that reads or writes a
            residual stream; together they say which of its channels matter. The first pattern is
            about a tensor of every layer, and gives the widths that the teacher's streams have. A
            table of equal widths needs none.
        signature (tuple[str, ...]): Tensors by which a teacher of the family is known.
        cls_tokens (tuple[str, ...]): Teacher keys of the tokens that stand before the patches.
    """

    student_layer: str
    teacher_layer: str
    rules: tuple[Clone | Keep | Refuse, ...]
    stream: dict[str, tuple[Axis, ...]]
    signature: tuple[str, ...]
    cls_tokens: tuple[str, ...] = ()


def part_of(tensor: Tensor, part: tuple[int, int]) -> Tensor:
    """View of part i of n equal parts of axis 0."""
    index, count = part
    rows = tensor.shape[0] // count
    return tensor.narrow(0, index * rows, rows)
