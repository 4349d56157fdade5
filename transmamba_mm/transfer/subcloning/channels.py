"""Rank a teacher's channels and choose a student's among them, alike for all tensors."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.transfer.subcloning.channel_choice import ChannelChoice
from transmamba_mm.transfer.subcloning.importance import magnitude, stability
from transmamba_mm.transfer.subcloning.rules import STREAM, Axis, Clone, StudentTable

#: Axes along the same channels, written and read.
RESIDUAL = (Axis.RESIDUAL, Axis.RESIDUAL_IN)
INNER = (Axis.INNER, Axis.INNER_IN)
HIDDEN = (Axis.HIDDEN, Axis.HIDDEN_IN)
GATE = (Axis.GATE, Axis.GATE_IN)
STATE = (Axis.STATE,)
Channels = tuple[Axis, ...]


class ChannelPlan:
    """The choices of one transfer, which every tensor follows, so that slices agree.

    A stream of the teacher is ranked once; a narrower student stream takes the channels that a
    wider one takes first. So the stages of a hierarchical student choose alike from a flat teacher.
    Channels inside a block (of the mixer, of the MLP) are chosen for each layer.

    Args:
        table (StudentTable): Which teacher tensors touch channels inside a block.
        teacher (Mapping[str, Tensor]): Its weights, by canonical names.
        num_layers (int): Of the teacher.
        pretrained (Mapping[str, Tensor], optional): What it was fine-tuned from, by canonical
            names; channels are then ranked by stability instead of magnitude.

    Attributes:
        residual_choices (dict): The choices made so far for streams, by (teacher width, student
            width).
    """

    def __init__(
        self,
        table: StudentTable,
        teacher: Mapping[str, Tensor],
        num_layers: int,
        pretrained: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.table = table
        self.teacher = teacher
        self.num_layers = num_layers
        self.pretrained = pretrained
        self.residual_choices: dict[tuple[int, int], ChannelChoice] = {}
        self._block_choices: dict[tuple[Channels, int, int], ChannelChoice] = {}
        self._ranks: dict[int, Tensor] = {}

    @property
    def state_rows(self) -> dict[str, list[int]]:
        """The rows of query and key chosen so far, for each teacher layer."""
        return {
            f'layers.{layer}': choice.sources.tolist()
            for (channels, layer, _), choice in self._block_choices.items()
            if channels == STATE
        }

    @cached_property
    def stream_widths(self) -> set[int]:
        """Widths of the teacher's residual streams: one, or one for each stage."""
        norms = (f'layers.{layer}.norm1.weight' for layer in range(self.num_layers))
        return {len(self.teacher[key]) for key in norms if key in self.teacher}

    def residual(self, num_teacher: int, num_student: int) -> ChannelChoice:
        """The choice of ``num_student`` channels of the stream that is ``num_teacher`` wide."""
        wanted = (num_teacher, num_student)
        if wanted not in self.residual_choices:
            if num_teacher not in self._ranks:
                self._ranks[num_teacher] = self._rank_stream(num_teacher)
            choice = ChannelChoice.most_important(self._ranks[num_teacher], num_student)
            self.residual_choices[wanted] = choice
        return self.residual_choices[wanted]

    def inside(self, channels: Channels, layer: int, num_student: int) -> ChannelChoice:
        """The choice of ``num_student`` channels inside a block made from a teacher layer.

        A wider mixer repeats channels and gates: each has a convolution and step sizes of its own,
        so they part. In an MLP copies would get the same gradients and stay copies; a wider one is
        padded. Row r of the query meets row r of the key, in a state too, so both keep the same
        rows.

        Args:
            channels (Channels): ``INNER``, ``HIDDEN``, ``GATE`` or ``STATE``.
            layer (int): Number of the teacher layer.
            num_student (int): Channels of the student's block.

        Raises:
            UserError: Heads that share keys and values (grouped-query attention).
        """
        wanted = (channels, layer, num_student)
        if wanted not in self._block_choices:
            touching, writing = [], []
            for rule in self.table.rules:
                if isinstance(rule, Clone) and set(rule.axes) & set(channels):
                    key = rule.teacher.replace('#', str(layer))
                    if key in self.teacher:
                        touching.append(([key], _find(rule.axes, channels)))
                        if channels[0] in rule.axes:
                            writing.append(self.teacher[key])
            _check_alike(self.teacher, touching)
            # What a row makes of normalized channels is as large as the row.
            sizes = sum(
                rows.detach().double().square().reshape(len(rows), -1).sum(1) for rows in writing
            )
            self._block_choices[wanted] = ChannelChoice.most_important(
                self._rank(touching),
                num_student,
                channels in (INNER, GATE),
                torch.as_tensor(sizes).sqrt(),
            )
        return self._block_choices[wanted]

    def _rank_stream(self, width: int) -> Tensor:
        touching = []
        for names, axes in STREAM.items():
            axis = _find(axes, RESIDUAL)
            for layer in range(self.num_layers if '#' in names[0] else 1):
                keys = [name.replace('#', str(layer)) for name in names]
                keys = [key for key in keys if key in self.teacher]
                # A head behind a hidden layer is not as wide, and does not read the stream.
                if keys and all(self.teacher[key].shape[axis] == width for key in keys):
                    touching.append((keys, axis))
        return self._rank(touching)

    def _rank(self, touching: Sequence[tuple[list[str], int]]) -> Tensor:
        """Importance of the channels along an axis of some teacher tensors, each one or several."""

        def joined(weights: Mapping[str, Tensor], keys: list[str]) -> Tensor:
            return weights[keys[0]] if len(keys) == 1 else torch.cat([weights[key] for key in keys])

        tensors = [(joined(self.teacher, keys), axis) for keys, axis in touching]
        pretrained = self.pretrained
        if pretrained is None:
            return magnitude(tensors)
        before = [
            joined(pretrained, keys) if all(key in pretrained for key in keys) else None
            for keys, _ in touching
        ]
        return stability(tensors, before)


def _check_alike(teacher: Mapping[str, Tensor], touching: Sequence[tuple[list[str], int]]) -> None:
    """UserError unless all tensors have as many channels as the first."""
    sizes = {key: teacher[key].shape[axis] for keys, axis in touching for key in keys}
    if len(set(sizes.values())) > 1:
        listed = ' and '.join(f'{key} has {size}' for key, size in sizes.items())
        raise UserError(
            f'Of the same channels {listed}: the heads of this teacher share keys and values '
            '(num_key_value_heads), so a row of one is not a row of the other. Use a teacher that '
            'has as many key and value heads as heads, or add the parameters that these go to, '
            'all of them, to subcloning.skip.'
        )


def _find(axes: Sequence[Axis], wanted: Channels) -> int:
    return next(i for i, axis in enumerate(axes) if axis in wanted)
