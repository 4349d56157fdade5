"""The scan in C++ for CPUs: float32, vectors of channels, a hand-written backward.

``csrc/selective_scan.cpp`` says how it works, :mod:`.cpp_build` how it comes to be compiled. Here
it becomes two operators of ``torch.library`` (with fake implementations, so that ``torch.compile``
and meta tensors see through them) and one :class:`~.backend.Backend`.
"""

import ctypes
import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.ops.backends import reference
from transmamba_mm.ops.backends.backend import Backend
from transmamba_mm.ops.backends.cpp_build import BuildError, load_library

# With fewer state updates than this (about 50 us of work), waking other threads costs more.
SERIAL_UPDATES = 1 << 18


def scan(
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
    gate: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """See :class:`transmamba_mm.ops.backends.backend.Scan`.

    delta, B and C may also have one slice for all directions, (B, 1, L, E or N). ``gate``
    (B, L, E) multiplies the output by ``silu(gate)`` inside the kernel.

    Raises:
        UserError: rows of ``order`` that are no permutations.
    """
    inputs = (x, delta, A, B, C, D, gate, delta_bias, initial_state)
    keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)
    y, last_state, _ = torch.ops.transmamba_mm.scan_cpp.default(
        *inputs, order, merge, delta_softplus, return_last_state, keep
    )
    return y, last_state if return_last_state else None


_INPUTS = (
    'Tensor x, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? gate, '
    'Tensor? delta_bias, Tensor? initial_state, Tensor order, str merge, bool delta_softplus'
)
# Library instead of custom_op: it costs a third per call, which small models feel.
_LIBRARY = torch.library.Library('transmamba_mm', 'FRAGMENT')
_LIBRARY.define(f'scan_cpp({_INPUTS}, bool last, bool keep) -> (Tensor, Tensor, Tensor)')
_LIBRARY.define(
    f'scan_cpp_backward(Tensor dy, Tensor? dlast_state, Tensor states, {_INPUTS}) -> Tensor[]'
)


def _empty_outputs(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    x, _, A, *_, merge, _, last, keep = arguments
    batch, length = x.shape[0], x.shape[-2]
    K, E, N = A.shape
    chunk = 32 if N >= 16 else 64 if N >= 4 else 128  # at most the kernel's Pass::STEPS
    kept = max(0, -(-length // chunk) - 1) if keep else 0
    return (
        x.new_empty((batch, K, length, E) if merge == 'none' else (batch, length, E)),
        x.new_empty((batch, K, E, N) if last else (0,)),
        x.new_empty((batch, K, kept, N, E)),
    )


def _empty_gradients(dy: Tensor, dlast_state: Tensor | None, _: Tensor, *inputs: Any) -> list[Tensor]:
    return [dy.new_empty((0,) if tensor is None else tensor.shape) for tensor in inputs[:9]]
