"""Which teacher channels the channels of a student are made from, and at which scale."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ChannelChoice:
    """For each student channel that has one, the teacher channel it is made from.

    Attributes:
        sources (Tensor): (n,) teacher channels; student channel i < n is made from ``sources[i]``.
        num_teacher, num_student (int): How many channels each side has.
        sizes (Tensor | None): (C,) how large what the teacher's channels carry is, relative to each
            other; alike by default.
    """

    sources: Tensor
    num_teacher: int
    num_student: int
    sizes: Tensor | None = None

    @classmethod
    def most_important(
        cls,
        importance: Tensor,
        num_student: int,
        tile: bool = False,
        sizes: Tensor | None = None,
    ) -> 'ChannelChoice':
        """Choose ``num_student`` of the teacher's channels, in index order.

        Where the student has more, its first channels are the teacher's. The others have no source,
        or, with ``tile``, repeat the teacher's: all of them as often as they fit, then the most
        important ones.

        Args:
            importance (Tensor): (C,) of the teacher's channels.
            num_student (int): Channels of the student.
            tile (bool): Repeat channels where the student has more.
            sizes (Tensor, optional): See :class:`ChannelChoice`.
        """
        num_teacher = len(importance)
        whole, rest = divmod(num_student, num_teacher)
        if whole and not tile:
            whole, rest = 1, 0
        # A stable sort, so that channels of equal importance are taken in index order.
        best = importance.argsort(descending=True, stable=True)[:rest].sort().values
        every = torch.arange(num_teacher, device=importance.device)
        return cls(torch.cat([every.repeat(whole), best]), num_teacher, num_student, sizes)

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

        Let y = W x with uncorrelated channels of x of root mean squares ``sizes``: all alike behind
        a norm, else as large as the rows that write them. The variance of y, summed over its
        channels, is then the squared Frobenius norm of W diag(sizes). A slice W_S that reads fewer
        channels loses part of it, so it is scaled by ``||W diag(sizes)|| / ||W_S diag(sizes_S)||``.
        Where a channel is repeated r times, each copy gets 1 / r of the weight, and y is exactly
        what it was. A slice of outputs needs no scale.

        Args:
            tensor (Tensor): Has the teacher's channels along ``axis``.
            axis (int): The axis.
            fan_in (bool): ``tensor`` is summed over this axis when it is applied.
        """
        sources = self.sources.to(tensor.device)
        picked = tensor.index_select(axis, sources)
        if not fan_in or self.kind in ('cloned', 'padded'):
            return picked
        shape = [-1 if i == axis else 1 for i in range(tensor.dim())]
        if self.kind == 'sliced':
            heard = tensor if self.sizes is None else tensor * self.sizes.to(tensor).view(shape)
            norm = heard.index_select(axis, sources).norm()
            return picked * (heard.norm() / norm) if norm > 0 else picked
        copies = self.sources.bincount(minlength=self.num_teacher)[self.sources]
        return picked / copies.to(tensor).view(shape)
