"""Protocols of the backends, one per operator, and the declaration of a backend."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor


class ScanInputs(NamedTuple):
    """Inputs of a scan of K directions over L tokens.

    Everything is indexed by canonical token; only ``order`` encodes the traversals. Checked and
    cast by :func:`transmamba_mm.ops.directional_scan`: one device, one dtype (of
    ``Backend.dtypes``), any strides (views of a projection; expanded dims have stride 0).

    Attributes:
        x: (B, L, E) shared by all directions, or (B, K, L, E).
        delta: (B, K or 1, L, E) step sizes before bias and softplus.
        A: (K, E, N), negative.
        B: (B, K or 1, L, N).
        C: (B, K or 1, L, N).
        D: (K, E) or None; the skip ``D * x`` belongs to the scan's output.
        gate: (B, L, E) or None; what each direction puts out is multiplied by ``silu(gate)``.
        delta_bias: (K, E) or None, added to ``delta`` before softplus.
        initial_state: (B, K, E, N) or None for zeros.
        order: (K, L) int64 on the device of ``x``; step t of direction k visits token order[k, t].
        merge: 'sum' or 'mean' over directions, or 'none'.
        delta_softplus: whether delta passes through softplus.
    """

    x: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    gate: Tensor | None
    delta_bias: Tensor | None
    initial_state: Tensor | None
    order: Tensor
    merge: str
    delta_softplus: bool

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        """The nine that a gradient can be asked of."""
        return self[:9]

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        """B, K, L, E and N."""
        K, E, N = self.A.shape
        return self.x.shape[0], K, self.order.shape[1], E, N

    def per_direction(self, tokens: Tensor) -> Tensor:
        """Expand (B, L, .), (B, 1, L, .) or (B, K, L, .) to (B, K, L, .), a view."""
        tokens = tokens if tokens.dim() == 4 else tokens[:, None]
        return tokens.expand(-1, self.A.shape[0], -1, -1)


class Scan(Protocol):
    """The selective scan; differentiable in every tensor of its inputs but ``order``.

    Returns ``(y, last_state)``: y (B, L, E) in canonical order, or (B, K, L, E) for merge 'none';
    last_state (B, K, E, N), differentiable too, or None when it is not requested.
    """

    def __call__(
        self, inputs: ScanInputs, return_last_state: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Scan; see the class."""
        ...


class Conv(Protocol):
    """K causal depthwise convolutions of the same tokens, each along its own traversal.

    Checked and cast by :func:`transmamba_mm.ops.directional_conv1d`. Takes ``x`` (B, L, E) with any
    strides, ``weight`` (K, E, W), ``bias`` (K, E), ``reverse`` (K booleans: whether the traversal
    runs from the last token to the first) and ``silu`` (whether it follows). Returns (K, B, L, E).
    """

    def __call__(
        self, x: Tensor, weight: Tensor, bias: Tensor, reverse: tuple[bool, ...], silu: bool
    ) -> Tensor:
        """Convolve; see the class."""
        ...


def _always() -> tuple[bool, str]:
    return True, ''


@dataclass(frozen=True)
class Backend:
    """The declaration of one backend; each backend's module ends with one.

    Attributes:
        name: what ``backend=`` and the environment variable call it.
        kernel: the implementation, a :class:`Scan` or a :class:`Conv`.
        devices: device types it runs on; empty for all.
        dtypes: compute dtypes it takes.
        available: ``() -> (bool, reason)``, called once per process; the reason is one line
            on why the backend is unavailable. Heavy imports and compilers belong in here and in
            ``kernel``, so that importing the module is cheap and never fails.
    """

    name: str
    kernel: Callable[..., Any]
    devices: tuple[str, ...] = ()
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float64)
    available: Callable[[], tuple[bool, str]] = _always
