"""Map each student layer to its teacher layer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from transmamba_mm.checks import COUNT, check, check_keys
from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import LayerPart

KINDS = ('uniform', 'last', 'first_n', 'stages', 'alternate')
#: Layers of a model: their number, or how many each stage has.
Depth = int | Sequence[int]
#: Of a list: a teacher layer, 'attention of 3', 'mlp of 3', or none.
Entry = int | str | None
PART_OF = re.compile(r'(attention|mlp) of (\d+)')


class LayerPair(NamedTuple):
    """A student layer and its matched teacher layer or part of one.

    Attributes:
        student, teacher (int): Layers, counted from 0.
        part (LayerPart): What of the teacher layer.
    """

    student: int
    teacher: int
    part: LayerPart = LayerPart.WHOLE

    def __str__(self) -> str:
        return (
            str(self.teacher) if self.part is LayerPart.WHOLE else f'{self.part} of {self.teacher}'
        )


@dataclass(frozen=True)
class LayerMap:
    """Match the S layers of a student with the T layers of a teacher; layers count from 0.

    In a hierarchical model they count through all its stages. Only 'stages' cares where one ends.

    ===========  ================================================================================
    kind         teacher layer of student layer l
    ===========  ================================================================================
    'uniform'    ``ceil((l + 1) T / S) - 1``: equal shares of depth; both last layers match
    'last'       the student's last min(S, T) layers to the teacher's last min(S, T), in order
    'first_n'    layers 0..n-1 to layers 0..n-1 (the selective subcloning of TransMamba v2)
    'stages'     those of stage i to those of stage i, 'uniform' within the stage
    'alternate'  layers 2p and 2p + 1: attention and MLP of the layer that 'uniform' gives pair p
    a list       one teacher layer, or None, for each student layer
    ===========  ================================================================================

    A list may also name a part of a teacher layer, for blocks that have either a mixer or an MLP to
    offer: ``['attention of 0', 'mlp of 0', 'attention of 1', None]``. A block that takes the
    attention is compared with the residual stream between attention and MLP, one that takes the MLP
    with the output of the layer, as one that takes it whole.

    Args:
        kind (str | Sequence[int | str | None]): See the table.
        n (int, optional): Number of layers of 'first_n'.

    Raises:
        UserError: Unknown kind; ``n`` missing or not positive, or given to another kind.
    """

    kind: str | Sequence[Entry] = 'uniform'
    n: int | None = None

    def __post_init__(self) -> None:
        is_list = isinstance(self.kind, Sequence) and not isinstance(self.kind, str)
        if not is_list and self.kind not in KINDS:
            raise UserError(
                f'layer_map={self.kind!r} is unknown; choose one of {", ".join(KINDS)}, or list '
                'one teacher layer (or None) per student layer.'
            )
        if self.kind == 'first_n':
            check("layer_map 'first_n'", 'n', self.n, COUNT)
        if self.kind != 'first_n' and self.n is not None:
            raise UserError(f"n={self.n} belongs to layer_map 'first_n', not to {self.kind!r}.")

    @classmethod
    def from_config(cls, config: str | Mapping | Sequence[Entry] | LayerMap) -> LayerMap:
        """Read a config value: 'uniform', dict(kind='first_n', n=4), [0, 1, None] or a map.

        Raises:
            UserError: A dict with keys other than ``kind`` and ``n``, or a wrong value.
        """
        if isinstance(config, LayerMap):
            return config
        if not isinstance(config, Mapping):
            return cls(config)
        check_keys('layer_map', config, ('kind', 'n'))
        return cls(**config)

    def pairs(self, student: Depth, teacher: Depth) -> list[LayerPair]:
        """Matched layers, ascending in the student's; no teacher, no pair.

        Args:
            student, teacher (int | Sequence[int]): Number of layers, or of those in each stage.

        Raises:
            UserError: A list of the wrong length or with a layer the teacher does not have; more
                layers asked of 'first_n' than both models have; 'stages' of models that have not
                equally many; 'alternate' of a student with an odd number of layers.
        """
        if self.kind == 'stages':
            return self._pairs_by_stage(_stages(student), _stages(teacher))
        num_student, num_teacher = sum(_stages(student)), sum(_stages(teacher))
        shared = min(num_student, num_teacher)
        if self.kind == 'uniform':
            return _uniform(num_student, num_teacher)
        if self.kind == 'last':
            return [LayerPair(num_student - i, num_teacher - i) for i in range(shared, 0, -1)]
        if self.kind == 'alternate':
            return _alternate(num_student, num_teacher)
        if self.kind == 'first_n':
            assert self.n is not None
            if self.n > shared:
                raise UserError(
                    f"layer_map 'first_n' asks for {self.n} layers, but the student has "
                    f'{num_student} and the teacher {num_teacher}: set n to at most {shared}.'
                )
            return [LayerPair(layer, layer) for layer in range(self.n)]
        return self._listed_pairs(num_student, num_teacher)

    def _pairs_by_stage(self, student: list[int], teacher: list[int]) -> list[LayerPair]:
        if len(student) != len(teacher):
            raise UserError(
                f"layer_map 'stages' matches stage with stage, but the student's have {student} "
                f"layers and the teacher's {teacher}: use 'uniform', or models of equally many "
                'stages.'
            )
        return [
            LayerPair(first + layer, first_teacher + teacher_layer)
            for depth, teacher_depth, first, first_teacher in zip(
                student, teacher, _firsts(student), _firsts(teacher), strict=True
            )
            for layer, teacher_layer, _ in _uniform(depth, teacher_depth)
        ]

    def _listed_pairs(self, num_student: int, num_teacher: int) -> list[LayerPair]:
        if len(self.kind) != num_student:
            raise UserError(
                f'layer_map lists {len(self.kind)} teacher layers, but the student has '
                f'{num_student} layers: give one (or None) for each.'
            )
        pairs = []
        for student, entry in enumerate(self.kind):
            if entry is None:
                continue
            pair = _read_entry(student, entry)
            if pair is None or not 0 <= pair.teacher < num_teacher:
                raise UserError(
                    f'layer_map gives student layer {student} the teacher layer {entry!r}, but '
                    f"the teacher's layers are 0 to {num_teacher - 1}; name one, or a part of one "
                    "('attention of 0', 'mlp of 0')."
                )
            pairs.append(pair)
        return pairs

    def describe(self, student: Depth, teacher: Depth) -> str:
        """One line for the log: every student layer and its teacher layer, stage by stage."""
        teachers = {pair.student: pair for pair in self.pairs(student, teacher)}
        stages = [
            ', '.join(f'{i}<-{teachers.get(i, "-")}' for i in range(first, first + depth))
            for first, depth in zip(_firsts(_stages(student)), _stages(student), strict=True)
        ]
        kind = self.kind if isinstance(self.kind, str) else 'as listed'
        return f'Layer map ({kind}; student<-teacher): {" | ".join(stages)}'


def is_by_tower(config: Any) -> bool:
    """Whether a config holds one config for each tower, by name."""
    return isinstance(config, Mapping) and not {'kind', 'n', 'type'} & set(config)


def _stages(depth: Depth) -> list[int]:
    return [depth] if isinstance(depth, int) else list(depth)


def _firsts(depths: list[int]) -> list[int]:
    """First layer of each stage."""
    return [0, *accumulate(depths[:-1])]


def _read_entry(student: int, entry: Any) -> LayerPair | None:
    """The pair of a list's entry; None for what is none."""
    if isinstance(entry, int) and not isinstance(entry, bool):
        return LayerPair(student, entry)
    found = PART_OF.fullmatch(entry) if isinstance(entry, str) else None
    return found and LayerPair(student, int(found[2]), LayerPart(found[1]))


def _uniform(num_student: int, num_teacher: int) -> list[LayerPair]:
    # -(-a // b) is the ceiling of a / b.
    return [
        LayerPair(layer, -(-(layer + 1) * num_teacher // num_student) - 1)
        for layer in range(num_student)
    ]


def _alternate(num_student: int, num_teacher: int) -> list[LayerPair]:
    if num_student % 2:
        raise UserError(
            f"layer_map 'alternate' gives each teacher layer two layers of the student, which has "
            f"{num_student}: use an even number, or list the layers ('attention of 0', 'mlp of 0', "
            '..., or None).'
        )
    return [
        LayerPair(2 * pair + place, layer, part)
        for pair, layer, _ in _uniform(num_student // 2, num_teacher)
        for place, part in enumerate((LayerPart.ATTENTION, LayerPart.MLP))
    ]
