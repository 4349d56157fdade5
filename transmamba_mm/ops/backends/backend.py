"""The face that every scan backend has."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Scan(Protocol):
    """The selective scan of K directions over L tokens; what a backend implements.

    Everything is indexed by canonical token; only ``order`` knows the traversals. The arguments
    arrive checked and cast by :func:`transmamba_mm.ops.directional_scan`: one device, one dtype
    (of ``Backend.dtypes``), any strides (views of a projection; expanded dims have stride 0).
    Differentiable in every floating tensor, ``initial_state`` and the returned state included.

    Args:
        x: (B, L, E) shared by all directions, or (B, K, L, E).
        delta: (B, K, L, E) step sizes before bias and softplus.
        A: (K, E, N), negative.
        B: (B, K, L, N).
        C: (B, K, L, N).
        D: (K, E) or None; the skip ``D * x`` belongs to the scan's output.
        order: (K, L) int64 on the device of ``x``; step t of direction k visits token order[k, t].
        merge: 'sum' or 'mean' over directions, or 'none'.
        delta_bias: (K, E) or None, added to ``delta`` before softplus.
        delta_softplus: whether delta passes through softplus.
        initial_state: (B, K, E, N) or None for zeros.
        return_last_state: whether the state after the last step is wanted.

    Returns:
        ``(y, last_state)``: y (B, L, E) in canonical order, or (B, K, L, E) for merge 'none';
        last_state (B, K, E, N), or None when it is not wanted.
    """

    def __call__(
        self,
        x: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor | None,
        order: Tensor,
        merge: str,
        delta_bias: Tensor | None,
        delta_softplus: bool,
        initial_state: Tensor | None,
        return_last_state: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """Scan; see the class."""
        ...


def _always() -> tuple[bool, str]:
    return True, ''


@dataclass(frozen=True)
class Backend:
    """The declaration of one backend; each backend's module ends with one.

    Attributes:
        name: what ``backend=`` and the environment variable call it.
        scan: the implementation.
        devices: device types it runs on; empty for all.
        dtypes: compute dtypes it takes.
        available: ``() -> (bool, reason)``, asked once per process; the reason says in one line
            why the backend cannot be had. Heavy imports and compilers belong in here and in
            ``scan``, so that importing the module is cheap and never fails.
    """

    name: str
    scan: Scan
    devices: tuple[str, ...] = ()
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float64)
    available: Callable[[], tuple[bool, str]] = _always
