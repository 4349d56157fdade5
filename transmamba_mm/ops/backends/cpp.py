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
    tensors = (x, delta, A, B, C, D, gate, delta_bias, initial_state)
    inputs = (*tensors, order, merge, delta_softplus, return_last_state)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        y, last_state = _Scan.apply(*inputs)
    else:
        y, last_state, _ = torch.ops.transmamba_mm.scan_cpp.default(*inputs, False)
    return y, last_state if return_last_state else None


_INPUTS = (
    'Tensor x, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? gate, '
    'Tensor? delta_bias, Tensor? initial_state, Tensor order, str merge, bool delta_softplus'
)
# Library instead of custom_op: it costs a third per call, which small models feel.
_LIBRARY = torch.library.Library('transmamba_mm', 'FRAGMENT')
_LIBRARY.define(f'scan_cpp({_INPUTS}, bool last, bool keep) -> (Tensor, Tensor, Tensor)')
_LIBRARY.define(
    f'scan_cpp_backward(Tensor dy, Tensor dlast_state, Tensor states, {_INPUTS}) -> Tensor[]'
)


def _chunk(N: int) -> int:
    """Return how many steps apart the forward keeps the state; at most ``Pass::STEPS``."""
    return 64 if N < 4 else 32


def _empty_outputs(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    x, _, A, *_, merge, _, last, keep = arguments
    batch, length = x.shape[0], x.shape[-2]
    K, E, N = A.shape
    kept = max(0, -(-length // _chunk(N)) - 1) if keep else 0
    return (
        x.new_empty((batch, K, length, E) if merge == 'none' else (batch, length, E)),
        x.new_empty((batch, K, E, N) if last else (0,)),
        x.new_empty((batch, K, kept, N, E)),
    )


def _empty_gradients(dy: Tensor, _: Any, __: Any, *inputs: Any) -> list[Tensor]:
    return [dy.new_empty((0,) if tensor is None else tensor.shape) for tensor in inputs[:9]]


def _forward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    y, last_state, states = outputs = _empty_outputs(*arguments)
    call = _Call(arguments[:-2])
    call.add_view(y)
    call.add_pointers(last_state, states)
    call.run(_kernels().scan_forward)
    return outputs


def _backward(dy: Tensor, dlast_state: Tensor, states: Tensor, *inputs: Any) -> list[Tensor]:
    gradients = _empty_gradients(dy, None, None, *inputs)
    dx, ddelta, dA, dB, dC, dD, dgate, dbias, dinitial_state = gradients
    call = _Call(inputs)
    for tokens in (dy, dx, ddelta, dB, dC, dgate):
        call.add_view(tokens)
    call.add_pointers(dlast_state, states, dA, dD, dbias, dinitial_state)
    call.run(_kernels().scan_backward)
    return gradients


class _Call:
    """The arguments of one kernel call: the int64 and pointer fields of the struct ``Scan``."""

    def __init__(self, inputs: Sequence[Any]) -> None:
        x, delta, A, B, C, D, gate, delta_bias, initial_state, order, merge, softplus = inputs
        K, E, N = A.shape
        batch, length = x.shape[0], x.shape[-2]
        threads = torch.get_num_threads() if batch * K * length * E * N > SERIAL_UPDATES else 1
        self.fields = [batch, K, length, E, N, _chunk(N), threads, softplus, merge == 'mean']
        self.alive: list[Tensor] = []  # contiguous copies that the pointers point into
        for tokens in (x, delta, B, C, gate):
            self.add_view(tokens)
        self.add_pointers(A, D, delta_bias, initial_state)
        self.alive.append(order := order.contiguous())
        self.fields.append(order.data_ptr())

    def add_view(self, tokens: Tensor | None) -> None:
        """Add a (B, L, C) or (B, K, L, C) tensor; its stride along K is 0 where all K share it."""
        if tokens is None or tokens.dim() == 1:  # not given
            self.fields += (0, 0, 0, 0)
            return
        if tokens.stride(-1) != 1:
            tokens = tokens.contiguous()
        stride = tokens.stride()
        per_direction = stride[1] if tokens.dim() == 4 and tokens.shape[1] > 1 else 0
        self.fields += (self._pointer(tokens), stride[0], per_direction, stride[-2])

    def add_pointers(self, *tensors: Tensor | None) -> None:
        """Add contiguous tensors; null for what is not given or empty."""
        self.fields += [0 if t is None else self._pointer(t.contiguous()) for t in tensors]

    def _pointer(self, tensor: Tensor) -> int:
        if tensor.dtype != torch.float32:
            raise UserError(f'the cpp scan takes float32 tensors only, not {tensor.dtype}')
        self.alive.append(tensor)
        return tensor.data_ptr()

    def run(self, kernel: Any) -> None:
        if kernel((ctypes.c_int64 * len(self.fields))(*self.fields)):
            raise UserError('every row of the scan order must be a permutation of the L tokens')


class _Scan(torch.autograd.Function):
    """The two operators as one; register_autograd would cost 50 us more per call."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        y, last_state, states = torch.ops.transmamba_mm.scan_cpp.default(*inputs, True)
        *tensors, ctx.merge, ctx.delta_softplus, _ = inputs
        ctx.save_for_backward(states, *tensors)
        return y, last_state

    @staticmethod
    def backward(ctx: Any, dy: Tensor, dlast_state: Tensor) -> tuple:
        states, *tensors = ctx.saved_tensors
        gradients = torch.ops.transmamba_mm.scan_cpp_backward.default(
            dy, dlast_state, states, *tensors, ctx.merge, ctx.delta_softplus
        )
        given = [None if t is None else g for t, g in zip(tensors, gradients, strict=False)]
        return *given, None, None, None, None  # order, merge, delta_softplus, last


for _name, _kernel, _fake in (
    ('scan_cpp', _forward, _empty_outputs),
    ('scan_cpp_backward', _backward, _empty_gradients),
):
    _LIBRARY.impl(_name, _kernel, 'CPU')
    torch.library.register_fake(f'transmamba_mm::{_name}', _fake, lib=_LIBRARY)


@functools.cache
def _kernels() -> ctypes.CDLL:
    return load_library()


def available() -> tuple[bool, str]:
    """Build, load and check the kernels; the first call on a machine takes some seconds."""
    try:
        _kernels()
    except BuildError as error:
        return False, str(error)
    worst = _self_check()
    if not worst < 1e-4:
        return False, f'its self-check failed: relative error {worst:.1g} against the reference'
    return True, ''


def _self_check() -> float:
    """Return the largest relative error of outputs and gradients on one small, odd problem."""
    K, L, E, N = 2, 5, 19, 5
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    inputs = [random(1, L, E), random(1, K, L, E), -random(K, E, N).exp()]
    inputs += [random(1, K, L, N), random(1, K, L, N), random(K, E)]
    order = torch.tensor([[0, 1, 2, 3, 4], [3, 0, 4, 2, 1]])
    bias, state = random(K, E), random(1, K, E, N)

    def results(run: Any, dtype: torch.dtype) -> list[Tensor]:
        leaves = [t.to(dtype).requires_grad_() for t in (*inputs, bias, state)]
        *tensors, bias_, state_ = leaves
        y, last = run(*tensors, order, 'mean', bias_, True, state_, True)
        loss = y.square().sum() + last.square().sum()
        return [y.detach(), last.detach(), *torch.autograd.grad(loss, leaves)]

    with torch.enable_grad():
        expected = results(reference.scan, torch.float64)
        found = results(scan, torch.float32)
    return max(
        float((f - e).abs().max() / e.abs().max()) for f, e in zip(found, expected, strict=True)
    )


BACKEND = Backend('cpp', scan, ('cpu',), (torch.float32,), available)
