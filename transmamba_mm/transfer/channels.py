"""Which teacher channels a student of another width gets, and how slices keep their variance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.transfer.importance import magnitude, stability
from transmamba_mm.transfer.rules import WHOLE, Axis, Clone, RuleTable, match, part_of

RESIDUAL = (Axis.RESIDUAL, Axis.RESIDUAL_IN)
INNER = (Axis.INNER, Axis.INNER_IN)


@dataclass(frozen=True)
class ChannelChoice:
    """For each student channel that has one, the teacher channel it is made from.

    Attributes:
        sources (Tensor): (n,) teacher channels; student channel i < n is made from ``sources[i]``.
        num_teacher, num_student (int): How many channels each side has.
    """

    sources: Tensor
    num_teacher: int
    num_student: int

    @classmethod
    def most_important(
        cls, importance: Tensor, num_student: int, tile: bool = False
    ) -> 'ChannelChoice':
        """Choose ``num_student`` of the teacher's channels, in index order.

        Where the student has more, its first channels are the teacher's. The others have no source,
        or, with ``tile``, repeat the teacher's: all of them as often as they fit, then the most
        important ones.

        Args:
            importance (Tensor): (C,) of the teacher's channels.
            num_student (int): Channels of the student.
            tile (bool): Repeat channels where the student has more.
        """
        num_teacher = len(importance)
        whole, rest = divmod(num_student, num_teacher)
        if whole and not tile:
            whole, rest = 1, 0
        # A stable sort, so that channels of equal importance are taken in index order.
        best = importance.argsort(descending=True, stable=True)[:rest].sort().values
        every = torch.arange(num_teacher, device=importance.device)
        return cls(torch.cat([every.repeat(whole), best]), num_teacher, num_student)

    @property
    def kind(self) -> str:
        """'cloned' (one to one), 'sliced', 'tiled' or 'padded'."""
        if self.num_student < self.num_teacher:
            return 'sliced'
        if self.num_student == self.num_teacher:
            return 'cloned'
        return 'tiled' if len(self.sources) == self.num_student else 'padded'

    def __str__(self) -> str:
        if self.kind == 'cloned':
            return f'all {self.num_teacher}'
        if self.kind == 'sliced':
            return f'{self.num_student} of {self.num_teacher}'
        return f'{self.num_teacher} {self.kind} to {self.num_student}'

    def take(self, tensor: Tensor, axis: int, fan_in: bool) -> Tensor:
        """Pick the sources along ``axis``, and rescale a fan-in.

        Let y = W x with uncorrelated channels of x that all have the same second moment, as behind
        a norm. The variance of y, summed over its channels, is then proportional to the squared
        Frobenius norm of W. A slice W_S that reads fewer channels loses part of it, so it is scaled
        by ``||W|| / ||W_S||``. Where a channel is repeated r times, each copy gets 1 / r of the
        weight, and y is exactly what it was. A slice of outputs needs no scale.

        Args:
            tensor (Tensor): Has the teacher's channels along ``axis``.
            axis (int): The axis.
            fan_in (bool): ``tensor`` is summed over this axis when it is applied.
        """
        picked = tensor.index_select(axis, self.sources.to(tensor.device))
        if not fan_in or self.kind in ('cloned', 'padded'):
            return picked
        if self.kind == 'sliced':
            norm = picked.norm()
            return picked * (tensor.norm() / norm) if norm > 0 else picked
        copies = self.sources.bincount(minlength=self.num_teacher)[self.sources]
        shape = [-1 if i == axis else 1 for i in range(tensor.dim())]
        return picked / copies.to(tensor).view(shape)


class ChannelPlan:
    """The choices of one transfer, which every tensor follows, so that slices agree.

    There is one choice of residual channels for the whole network, and one of inner channels for
    each layer.

    Args:
        table (RuleTable): Says which teacher tensors touch which channels.
        teacher (Mapping[str, Tensor]): Its weights.
        pretrained (Mapping[str, Tensor], optional): What it was fine-tuned from; channels are then
            ranked by stability instead of magnitude.
        num_residual (int): Width of the student's residual stream.

    Raises:
        UserError: The weights are not of the family that the table is about.
    """

    def __init__(
        self,
        table: RuleTable,
        teacher: Mapping[str, Tensor],
        pretrained: Mapping[str, Tensor] | None,
        num_residual: int,
    ) -> None:
        self.table = table
        self.teacher = teacher
        self.pretrained = pretrained
        self.residual = ChannelChoice.most_important(self._rank_stream(), num_residual)
        self._inner: dict[tuple[int, int], ChannelChoice] = {}

    def inner(self, teacher_layer: int, num_inner: int) -> ChannelChoice:
        """The choice of ``num_inner`` channels for a mixer made from a teacher layer."""
        wanted = (teacher_layer, num_inner)
        if wanted not in self._inner:
            touching = []
            for rule in self.table.rules:
                if isinstance(rule, Clone) and set(rule.axes) & set(INNER):
                    key = rule.find_teacher(self.teacher, teacher_layer)
                    if key is not None:
                        touching.append((key, _find(rule.axes, INNER), rule.teacher_part))
            importance = self._rank(touching)
            self._inner[wanted] = ChannelChoice.most_important(importance, num_inner, tile=True)
        return self._inner[wanted]

    @property
    def num_layers(self) -> int:
        """Layers of the teacher."""
        layers = (match(pattern, key) for pattern in self.table.stream for key in self.teacher)
        return 1 + max((layer for layer in layers if layer is not None), default=-1)

    def _rank_stream(self) -> Tensor:
        first, axes = next(iter(self.table.stream.items()))
        if first not in self.teacher:
            raise UserError(
                f'The teacher has no tensor {first!r}, so it is not of the family that the rules '
                f'are about; its keys look like {", ".join(list(self.teacher)[:3])}. Choose other '
                'rules, or convert the checkpoint to the keys of an mmpretrain classifier.'
            )
        width = self.teacher[first].shape[_find(axes, RESIDUAL)]
        touching = []
        for key, tensor in self.teacher.items():
            for pattern, axes in self.table.stream.items():
                axis = _find(axes, RESIDUAL)
                # A head behind a hidden layer is not as wide, and does not read the stream.
                if match(pattern, key) is not None and tensor.shape[axis] == width:
                    touching.append((key, axis, WHOLE))
        return self._rank(touching)

    def _rank(self, touching: Sequence[tuple[str, int, tuple[int, int]]]) -> Tensor:
        """Importance of the channels along an axis of (a part of) some teacher tensors."""
        tensors = [(part_of(self.teacher[key], part), axis) for key, axis, part in touching]
        if self.pretrained is None:
            return magnitude(tensors)
        before = [
            part_of(self.pretrained[key], part) if key in self.pretrained else None
            for key, _, part in touching
        ]
        return stability(tensors, before)


def _find(axes: Sequence[Axis], wanted: tuple[Axis, Axis]) -> int:
    return next(i for i, axis in enumerate(axes) if axis in wanted)
