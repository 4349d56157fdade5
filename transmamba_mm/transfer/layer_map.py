"""Which teacher layer each student layer looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transmamba_mm.errors import UserError

KINDS = ('uniform', 'last', 'first_n')


@dataclass(frozen=True)
class LayerMap:
    """Match the S layers of a student with the T layers of a teacher; layers count from 0.

    ==========  =================================================================================
    kind        student layer l looks at
    ==========  =================================================================================
    'uniform'   ``ceil((l + 1) T / S) - 1``: equal shares of depth; both last layers match
    'last'      the student's last min(S, T) layers at the teacher's last min(S, T), in order
    'first_n'   layers 0..n-1 at layers 0..n-1 (the selective subcloning of TransMamba v2)
    a list      one teacher layer, or None, for each student layer
    ==========  =================================================================================

    Args:
        kind (str | Sequence[int | None]): See the table.
        n (int, optional): Number of layers of 'first_n'.

    Raises:
        UserError: Unknown kind; ``n`` missing or not positive, or given to another kind.
    """

    kind: str | Sequence[int | None] = 'uniform'
    n: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.kind, str) and self.kind not in KINDS:
            raise UserError(
                f'layer_map={self.kind!r} is unknown; choose one of {", ".join(KINDS)}, or list '
                'one teacher layer (or None) per student layer.'
            )
        if self.kind == 'first_n' and (self.n is None or self.n < 1):
            raise UserError("layer_map 'first_n' needs n >= 1: dict(kind='first_n', n=4).")
        if self.kind != 'first_n' and self.n is not None:
            raise UserError(f"n={self.n} belongs to layer_map 'first_n', not to {self.kind!r}.")

    @classmethod
    def from_config(cls, config: str | Mapping | Sequence[int | None] | LayerMap) -> LayerMap:
        """Read a config value: 'uniform', dict(kind='first_n', n=4), [0, 1, None] or a map.

        Raises:
            UserError: A dict with keys other than ``kind`` and ``n``, or a wrong value.
        """
        if isinstance(config, LayerMap):
            return config
        if not isinstance(config, Mapping):
            return cls(config)
        if unknown := set(config) - {'kind', 'n'}:
            raise UserError(f'layer_map takes kind and n; it has no {", ".join(sorted(unknown))}.')
        return cls(**config)

    def pairs(self, num_student: int, num_teacher: int) -> list[tuple[int, int]]:
        """Pairs (student layer, teacher layer), ascending in the student's; no teacher, no pair.

        Raises:
            UserError: A list of the wrong length or with a layer the teacher does not have; more
                layers asked of 'first_n' than both models have.
        """
        shared = min(num_student, num_teacher)
        if self.kind == 'uniform':
            # -(-a // b) is the ceiling of a / b.
            return [
                (layer, -(-(layer + 1) * num_teacher // num_student) - 1)
                for layer in range(num_student)
            ]
        if self.kind == 'last':
            return [(num_student - i, num_teacher - i) for i in range(shared, 0, -1)]
        if self.kind == 'first_n':
            assert self.n is not None
            if self.n > shared:
                raise UserError(
                    f"layer_map 'first_n' asks for {self.n} layers, but the student has "
                    f'{num_student} and the teacher {num_teacher}: set n to at most {shared}.'
                )
            return [(layer, layer) for layer in range(self.n)]
        return self._listed_pairs(num_student, num_teacher)

    def _listed_pairs(self, num_student: int, num_teacher: int) -> list[tuple[int, int]]:
        if len(self.kind) != num_student:
            raise UserError(
                f'layer_map lists {len(self.kind)} teacher layers, but the student has '
                f'{num_student} layers: give one (or None) for each.'
            )
        pairs = []
        for student, teacher in enumerate(self.kind):
            if teacher is None:
                continue
            if not isinstance(teacher, int) or not 0 <= teacher < num_teacher:
                raise UserError(
                    f'layer_map gives student layer {student} the teacher layer {teacher!r}, but '
                    f"the teacher's layers are 0 to {num_teacher - 1}."
                )
            pairs.append((student, teacher))
        return pairs

    def describe(self, num_student: int, num_teacher: int) -> str:
        """One line for the log: every student layer and its teacher layer."""
        teachers = dict(self.pairs(num_student, num_teacher))
        matches = ' '.join(f'{i}<-{teachers.get(i, "-")}' for i in range(num_student))
        kind = self.kind if isinstance(self.kind, str) else 'as listed'
        return f'Layer map ({kind}; student<-teacher): {matches}'
