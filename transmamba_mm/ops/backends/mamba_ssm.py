"""The scan of the package ``mamba_ssm``, for CUDA.

It supports one traversal, time last, from a zero state: tokens are permuted and transposed into its
layout, directions become its groups, and its output goes the way back. What it cannot do goes to
``triton``, or else to ``torch``, with a warning in the log: scans from an initial state, scans
whose last state may be asked for a gradient (the kernel gives none), N > 256 and empty batches.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from transmamba_mm.ops.backends import chunked, triton_scan
from transmamba_mm.ops.backends.backend import Backend, ScanInputs
from transmamba_mm.ops.backends.cuda import cuda_with
from transmamba_mm.ops.backends.library import gated, needs_grad
from transmamba_mm.ops.scan_order import invert_order

#: ``selective_scan_fn(u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state)``.
Kernel = Callable[..., Any]
MOST_STATES = 256

logger = logging.getLogger('transmamba_mm')

# Without its kernel, too, the package can be imported: it fails only when called.
available = cuda_with('selective_scan_cuda', 'mamba_ssm.ops.selective_scan_interface')


@functools.cache
def _kernel() -> Kernel:
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    return torch.compiler.disable(selective_scan_fn)  # a graph ends here: an extension in C++


def obstacle(inputs: ScanInputs, return_last_state: bool) -> str:
    """Why ``mamba_ssm`` cannot run this scan; empty when it can."""
    batch, _, _, _, N = inputs.sizes
    trained = needs_grad(*inputs.tensors)
    if inputs.initial_state is not None:
        return 'it starts from zero'
    if return_last_state and trained:
        return 'its last state has no gradient'
    if N > MOST_STATES:
        return f'it takes at most {MOST_STATES} states'
    return '' if batch else 'the batch is empty'


@functools.cache
def _substitute(reason: str) -> Backend:
    backend = triton_scan.BACKEND if triton_scan.available()[0] else chunked.BACKEND
    logger.warning('scan backend mamba_ssm falls back to %s: %s', backend.name, reason)
    return backend


def scan_with(
    kernel: Kernel, inputs: ScanInputs, return_last_state: bool
) -> tuple[Tensor, Tensor | None]:
    """Run ``selective_scan_fn`` or its equal on inputs without initial state and gate."""
    batch, K, length, E, N = inputs.sizes

    def flat(parameter: Tensor | None) -> Tensor | None:
        return None if parameter is None else parameter.reshape(-1).contiguous()

    def visited(tokens: Tensor) -> Tensor:  # (B, [K or 1,] L, C) -> (B, K, C, L), contiguous
        rows = inputs.per_direction(tokens).mT
        return rows.gather(3, inputs.order[None, :, None].expand_as(rows))

    result = kernel(
        visited(inputs.x).view(batch, K * E, length),
        visited(inputs.delta).view(batch, K * E, length),
        inputs.A.reshape(K * E, N),
        visited(inputs.B),
        visited(inputs.C),
        flat(inputs.D),
        delta_bias=flat(inputs.delta_bias),
        delta_softplus=inputs.delta_softplus,
        return_last_state=return_last_state,
    )
    y, last_state = result if return_last_state else (result, None)
    steps = y.reshape(batch, K, E, length).mT
    y = steps.gather(2, invert_order(inputs.order)[None, :, :, None].expand_as(steps))
    if inputs.merge != 'none':
        y = y.sum(1) if inputs.merge == 'sum' else y.mean(1)
    return y, None if last_state is None else last_state.reshape(batch, K, E, N)


def _scan(inputs: ScanInputs, return_last_state: bool = False) -> tuple[Tensor, Tensor | None]:
    reason = obstacle(inputs, return_last_state)
    if reason:
        return _substitute(reason).kernel(inputs, return_last_state)
    return scan_with(_kernel(), inputs, return_last_state)


BACKEND = Backend('mamba_ssm', gated(_scan), ('cuda',), (torch.float32,), available)
