"""The scan in Triton: for CUDA without ``mamba_ssm``, and for scans that ``mamba_ssm`` does not
support.

:mod:`.triton_kernels` documents the algorithm. It reads ``order`` as it goes, so nothing is
permuted, and its results are reproducible bit for bit. Training takes memory for about 2 sqrt(L)
states, half of it during the backward alone, and the gradients of B and C once for every 32
channels.
"""

import importlib
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from transmamba_mm.ops.backends.backend import Backend, ScanInputs
from transmamba_mm.ops.backends.cuda import cuda_with
from transmamba_mm.ops.backends.library import gated, register_scan

# Channels of a program: one for each lane of a warp.
BLOCK_E = 32
# The first Triton whose kernels take tuples, as the strides are.
OLDEST_TRITON = (3, 3)


def available() -> tuple[bool, str]:
    """Whether there are a device and a Triton that is new enough."""
    usable, reason = cuda_with('triton')()
    if usable:
        version = importlib.import_module('triton').__version__
        if tuple(map(int, version.split('.')[:2])) < OLDEST_TRITON:
            oldest = '.'.join(map(str, OLDEST_TRITON))
            return False, f'triton {version} is too old, the kernels need {oldest}'
    return usable, reason


def _chunk(inputs: ScanInputs) -> int:
    """Return how many steps apart the state is kept: the next power of two after sqrt(L)."""
    return 1 << math.isqrt(inputs.order.shape[1] - 1).bit_length()


def _states_shape(inputs: ScanInputs) -> tuple[int, ...]:
    batch, K, length, E, N = inputs.sizes
    return (batch, K, -(-length // _chunk(inputs)), N, E)


def launch_options(N: int) -> dict[str, int]:
    """Return the tile of N states: padded to a power of two, about 16 of them a lane."""
    block_n = 1 << (N - 1).bit_length()
    return {
        'BLOCK_N': block_n,
        'num_warps': min(8, max(1, block_n // 16)),
        'enable_fp_fusion': True,
    }


def _blocks(inputs: ScanInputs) -> int:
    """Return the number of blocks of channels."""
    return -(-inputs.A.shape[1] // BLOCK_E)


def _view(tokens: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
    """Return (B, L, .) or (B, K or 1, L, .) with the strides along batch, direction and token."""
    if tokens.stride(-1) != 1:
        tokens = tokens.contiguous()
    per_direction = tokens.stride(1) if tokens.dim() == 4 and tokens.shape[1] > 1 else 0
    return tokens, (tokens.stride(0), per_direction, tokens.stride(-2))


def _views(*tensors: Tensor) -> Iterator[Tensor | tuple[int, int, int]]:
    return itertools.chain.from_iterable(map(_view, tensors))


def _given(*tensors: Tensor | None) -> list[Tensor | None]:
    """Return contiguous tensors; None for those not given or not requested."""
    return [None if t is None or t.shape == (0,) else t.contiguous() for t in tensors]


def _transposed(*tensors: Tensor | None) -> list[Tensor | None]:
    """Return (..., E, N) tensors as the kernels have them, (..., N, E)."""
    return _given(*(None if t is None or t.shape == (0,) else t.mT for t in tensors))


def _room(state: Tensor | None) -> Tensor | None:
    """Return a buffer for a (B, K, E, N) state, transposed; None if not requested."""
    if state is None or state.shape == (0,):
        return None
    return state.new_empty(state.mT.shape)


def _per_direction(tensor: Tensor, inputs: ScanInputs) -> Tensor:
    """Return room for (B, K, L, .): the tensor's own where the directions do not share it."""
    batch, K, length, _, _ = inputs.sizes
    shape = (batch, K, length, tensor.shape[-1])
    return tensor.view(shape) if tensor.numel() == math.prod(shape) else tensor.new_empty(shape)


def _fold(parts: Tensor, tensor: Tensor) -> None:
    """Sum (B, K, L, .) over K into a tensor that the directions share."""
    if parts.numel() != tensor.numel():
        torch.sum(parts, 1, keepdim=tensor.dim() == 4, out=tensor)


def _launch(name: str, inputs: ScanInputs, *arguments: Any) -> None:
    """Run a kernel with one program per batch, direction and block of channels."""
    from transmamba_mm.ops.backends import triton_kernels  # imports triton

    batch, K, length, E, N = inputs.sizes
    with torch.cuda.device_of(inputs.x):
        getattr(triton_kernels, name)[(batch * K * _blocks(inputs),)](
            *arguments,
            *(K, length, E, _chunk(inputs)),
            N=N,
            SOFTPLUS=inputs.delta_softplus,
            BLOCK_E=BLOCK_E,
            **launch_options(N),
        )


def _forward(inputs: ScanInputs, y: Tensor, last_state: Tensor, states: Tensor) -> None:
    parts, last_room = _per_direction(y, inputs), _room(last_state)
    _launch(
        'forward_kernel',
        inputs,
        *_views(inputs.x, inputs.delta, inputs.B, inputs.C),
        *_transposed(inputs.A, inputs.initial_state),
        *_given(inputs.D, inputs.delta_bias, inputs.order, parts, last_room, states),
    )
    if last_room is not None:
        last_state.copy_(last_room.mT)
    _fold(parts, y)
    if inputs.merge == 'mean':
        y /= len(inputs.order)


def _backward(
    inputs: ScanInputs,
    dy: Tensor,
    dlast_state: Tensor,
    states: Tensor,
    gradients: Sequence[Any],
) -> None:
    dx, ddelta, dA, dB, dC, dD, _, dbias, dinitial_state = gradients
    batch, K, length, E, N = inputs.sizes
    blocks, block_n = _blocks(inputs), launch_options(N)['BLOCK_N']
    if inputs.merge == 'mean':
        dy = dy / K
    dx_parts, ddelta_parts = _per_direction(dx, inputs), _per_direction(ddelta, inputs)
    slots = dy.new_empty(2, blocks, batch, K, length, N)  # of dB and dC
    dA_parts, dvectors = dy.new_empty(batch, K, N, E), dy.new_empty(2, batch, K, E)
    dinitial_room = _room(dinitial_state)
    scratch = dy.new_empty(batch * K * blocks, _chunk(inputs), block_n, BLOCK_E)
    _launch(
        'backward_kernel',
        inputs,
        *_views(inputs.x, inputs.delta, inputs.B, inputs.C, dy),
        *_transposed(inputs.A, dlast_state),
        *_given(inputs.D, inputs.delta_bias, inputs.order, states),
        *(scratch, dx_parts, ddelta_parts, *slots, dA_parts, *dvectors, dinitial_room),
    )
    if dinitial_room is not None:
        dinitial_state.copy_(dinitial_room.mT)
    _fold(dx_parts, dx)
    _fold(ddelta_parts, ddelta)
    for gradient, parts in zip((dB, dC), slots.sum(1), strict=True):
        gradient.copy_(parts if parts.shape == gradient.shape else parts.sum(1, keepdim=True))
    for gradient, parts in zip((dA, dD, dbias), (dA_parts.mT, *dvectors), strict=True):
        if gradient is not None:
            torch.sum(parts, 0, out=gradient)


scan = gated(
    register_scan('triton', ['CompositeExplicitAutograd'], _forward, _backward, _states_shape)
)
BACKEND = Backend('triton', scan, ('cuda',), (torch.float32,), available)
