"""The scan in C++ for CPUs: float32, vectors of channels, a hand-written backward.

``csrc/selective_scan.cpp`` documents the algorithm, :mod:`.cpp_build` the compilation.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.ops.backends import reference
from transmamba_mm.ops.backends.backend import Backend, Scan, ScanInputs
from transmamba_mm.ops.backends.cpp_build import BuildError
from transmamba_mm.ops.backends.cpp_call import KernelCall, kernels
from transmamba_mm.ops.backends.library import register_scan

# With fewer state updates than this (about 50 us of work), waking other threads costs more.
SERIAL_UPDATES = 1 << 18


def _chunk(N: int) -> int:
    """Return how many steps apart the forward keeps the state; at most ``Pass::STEPS``."""
    return 64 if N < 4 else 32


def _states_shape(inputs: ScanInputs) -> tuple[int, ...]:
    batch, K, length, E, N = inputs.sizes
    return (batch, K, max(0, -(-length // _chunk(N)) - 1), N, E)


def _forward(inputs: ScanInputs, y: Tensor, last_state: Tensor, states: Tensor) -> None:
    call = _call(inputs)
    call.add_view(y)
    call.add_pointers(last_state, states)
    _run(call, kernels().scan_forward)


def _backward(
    inputs: ScanInputs,
    dy: Tensor,
    dlast_state: Tensor,
    states: Tensor,
    gradients: Sequence[Any],
) -> None:
    dx, ddelta, dA, dB, dC, dD, dgate, dbias, dinitial_state = gradients
    call = _call(inputs)
    for tokens in (dy, dx, ddelta, dB, dC, dgate):
        call.add_view(tokens)
    call.add_pointers(dlast_state, states, dA, dD, dbias, dinitial_state)
    _run(call, kernels().scan_backward)


def _call(inputs: ScanInputs) -> KernelCall:
    x, delta, A, B, C, D, gate, delta_bias, initial_state, order, merge, softplus = inputs
    sizes = inputs.sizes
    threads = torch.get_num_threads() if math.prod(sizes) > SERIAL_UPDATES else 1
    call = KernelCall(*sizes, _chunk(sizes[-1]), threads, softplus, merge == 'mean')
    for tokens in (x, delta, B, C, gate):
        call.add_view(tokens)
    call.add_pointers(A, D, delta_bias, initial_state, order)
    return call


def _run(call: KernelCall, kernel: Any) -> None:
    if call.run(kernel):
        raise UserError('every row of the scan order must be a permutation of the L tokens')


def available() -> tuple[bool, str]:
    """Build, load and check the kernels; the first call on a machine takes some seconds."""
    try:
        kernels()
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

    tensors = [random(1, L, E), random(1, K, L, E), -random(K, E, N).exp(), random(1, K, L, N)]
    tensors += [random(1, 1, L, N), random(K, E), random(1, L, E)]
    tensors += [random(K, E), random(1, K, E, N)]
    order = torch.tensor([[0, 1, 2, 3, 4], [3, 0, 4, 2, 1]])

    def results(run: Scan, dtype: torch.dtype) -> list[Tensor]:
        leaves = [t.to(dtype).requires_grad_() for t in tensors]
        arguments: list[Any] = [*leaves, order, 'mean', True]
        y, last = run(ScanInputs(*arguments), return_last_state=True)
        assert last is not None
        loss = y.square().sum() + last.square().sum()
        return [y.detach(), last.detach(), *torch.autograd.grad(loss, leaves)]

    with torch.enable_grad():
        expected = results(reference.scan, torch.float64)
        found = results(scan, torch.float32)
    return max(
        float((f - e).abs().max() / e.abs().max()) for f, e in zip(found, expected, strict=True)
    )


scan = register_scan('cpp', ['CPU'], _forward, _backward, _states_shape, strided_gradients=True)
BACKEND = Backend('cpp', scan, ('cpu',), (torch.float32,), available)
