"""A selective scan to compute: its shape, its tensors, and their layouts."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from transmamba_mm.errors import UserError


class ScanShape(NamedTuple):
    """B sequences, K directions (groups) of D channels each, L tokens, N states a channel."""

    batch: int
    directions: int
    channels: int
    length: int
    states: int

    @classmethod
    def parse(cls, text: str) -> 'ScanShape':
        """Read '8x384x197x16' (BxDxLxN) or '8x4x384x784x1' (BxKxDxLxN).

        Raises:
            UserError: Anything else.
        """
        if not re.fullmatch(r'[1-9]\d*(x[1-9]\d*){3,4}', text):
            raise UserError(
                f'{text!r} is no shape of a scan: write BxDxLxN, as 8x384x197x16, or with K '
                'directions BxKxDxLxN, as 8x4x384x784x1.'
            )
        batch, *directions, channels, length, states = map(int, text.split('x'))
        return cls(batch, *(directions or [1]), channels, length, states)

    def __str__(self) -> str:
        batch, K, channels, length, states = self
        return f'{batch}·{channels if K == 1 else f"({K}·{channels})"}·{length}·{states}'

    @property
    def updates(self) -> int:
        """State updates; each needs one exp."""
        batch, K, channels, length, states = self
        return batch * K * channels * length * states

    @property
    def token_elements(self) -> int:
        """Elements of x, and of everything shaped like it: delta, y and their gradients."""
        return self.batch * self.directions * self.channels * self.length

    @property
    def matrix_elements(self) -> int:
        """Elements of B, and of C."""
        return self.batch * self.directions * self.length * self.states

    @property
    def weight_elements(self) -> int:
        """Elements of A and D together."""
        return self.directions * self.channels * (self.states + 1)


#: The shapes that the project's goals are set at: Vim-T, Vim-S, two stages of VMamba-T, long Vim-T.
DEFAULT_SHAPES = (
    '8x384x197x16',
    '8x768x197x16',
    '8x4x384x784x1',
    '8x4x192x3136x1',
    '1x384x4096x16',
)


class Operands(NamedTuple):
    """Inputs of a scan, or their gradients; channel-last unless a :class:`Layout` moved them.

    x and delta (B, K, L, D), A (K, D, N), B and C (B, K, L, N), D (K, D).
    """

    x: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor


def random_operands(shape: ScanShape, seed: int = 0) -> tuple[Operands, Tensor]:
    """Draw a scan as Mamba starts it, in float64, and the gradient dy (B, K, L, D) of a loss.

    A = -(1 .. N), disturbed; step sizes from about 0.001 to 1.
    """
    batch, K, channels, length, states = shape
    generator = torch.Generator().manual_seed(seed)

    def normal(*sizes: int) -> Tensor:
        return torch.randn(sizes, generator=generator, dtype=torch.float64)

    rates = torch.arange(1, states + 1) * torch.exp(0.1 * normal(K, channels, states))
    tokens, matrix = (batch, K, length, channels), (batch, K, length, states)
    delta = F.softplus(1.5 * normal(*tokens) - 3)
    operands = Operands(
        normal(*tokens), delta, -rates, normal(*matrix), normal(*matrix), normal(K, channels)
    )
    return operands, normal(*tokens)


@dataclass(frozen=True)
class Layout:
    """A way to keep the tensors of :class:`Operands`.

    Attributes:
        tokens: Moves x, delta, y or dy there; the numbers are those of ``Operands``.
        tokens_back: From there, given K.
        matrix, matrix_back: The same for B and C.
        joined: Whether K and D are one axis: A (K * D, N), D (K * D).
    """

    tokens: Callable[[Tensor], Tensor]
    tokens_back: Callable[[Tensor, int], Tensor]
    matrix: Callable[[Tensor], Tensor]
    matrix_back: Callable[[Tensor], Tensor]
    joined: bool = True

    def place(self, operands: Operands) -> Operands:
        """Move the operands into this layout, contiguous."""
        x, delta, A, B, C, D = operands
        if self.joined:
            A, D = A.flatten(0, 1), D.flatten()
        moved = (self.tokens(x), self.tokens(delta), A, self.matrix(B), self.matrix(C), D)
        return Operands(*(tensor.contiguous() for tensor in moved))

    def restore(self, operands: Operands, K: int) -> Operands:
        """Move them, or their gradients, back."""
        x, delta, A, B, C, D = operands
        if self.joined:
            A, D = A.unflatten(0, (K, -1)), D.unflatten(0, (K, -1))
        x, delta = self.tokens_back(x, K), self.tokens_back(delta, K)
        return Operands(x, delta, A, self.matrix_back(B), self.matrix_back(C), D)


#: (B, K, L, D) and (B, K, L, N): ours.
CHANNEL_LAST = Layout(
    tokens=lambda x: x,
    tokens_back=lambda x, K: x,
    matrix=lambda B: B,
    matrix_back=lambda B: B,
    joined=False,
)
#: (B, K * D, L) and (B, K, N, L): ``mamba_ssm``'s, and every loop's that follows its reference.
CHANNEL_FIRST = Layout(
    tokens=lambda x: x.transpose(2, 3).flatten(1, 2),
    tokens_back=lambda x, K: x.unflatten(1, (K, -1)).transpose(2, 3),
    matrix=lambda B: B.transpose(2, 3),
    matrix_back=lambda B: B.transpose(2, 3),
)
#: (B, L, K * D) and (B, L, K, N): mambapy's.
TOKEN_MAJOR = Layout(
    tokens=lambda x: x.transpose(1, 2).flatten(2),
    tokens_back=lambda x, K: x.unflatten(2, (K, -1)).transpose(1, 2),
    matrix=lambda B: B.transpose(1, 2),
    matrix_back=lambda B: B.transpose(1, 2),
)
