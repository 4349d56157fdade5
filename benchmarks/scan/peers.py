"""The compared scans: our backends and other packages', each in its own layout."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from benchmarks.scan.problem import (
    CHANNEL_FIRST,
    CHANNEL_LAST,
    TOKEN_MAJOR,
    Layout,
    Operands,
)
from transmamba_mm.ops import directional_scan
from transmamba_mm.ops.backends.backend import Backend
from transmamba_mm.ops.backends.select import BACKENDS

#: The rows that ratios are taken to.
REFERENCE, UNBIND = 'reference', 'unbind loop'


@dataclass(frozen=True)
class Contender:
    """One implementation of the scan.

    Attributes:
        name: What the tables call it.
        layout: Layout of its tensors.
        scan: Operands in that layout -> y in that layout.
        obstacle: Why it cannot run; empty when it can.
        growth: Its forward+backward takes L ** growth.
    """

    name: str
    layout: Layout
    scan: Callable[[Operands], Tensor]
    obstacle: str = ''
    growth: int = 1


def contenders(device: torch.device) -> list[Contender]:
    """List our backends, best first, and then the peers."""
    ours = [
        Contender(
            name, CHANNEL_LAST, partial(_directional, backend=name), _obstacle(backend, device)
        )
        for name, backend in BACKENDS['scan'].items()
    ]
    mambapy = '' if importlib.util.find_spec('mambapy') else 'not installed'
    return [
        *ours,
        Contender(UNBIND, CHANNEL_FIRST, unbind_loop),
        Contender('mambapy pscan', TOKEN_MAJOR, parallel_scan, mambapy),
        Contender('transformers slow', CHANNEL_FIRST, transformers_loop, growth=2),
        Contender('slicing loop', CHANNEL_FIRST, slicing_loop, growth=2),
    ]


def contender(name: str, device: torch.device) -> Contender:
    """Find one by name."""
    return next(one for one in contenders(device) if one.name == name)


def _obstacle(backend: Backend, device: torch.device) -> str:
    if backend.devices and device.type not in backend.devices:
        return f'runs on {"/".join(backend.devices)}'
    return backend.available()[1]


def _directional(operands: Operands, backend: str) -> Tensor:
    """Scan with one of ours: every direction walks forward, as the peers' channels do."""
    K, length = operands.x.shape[1:3]
    order = torch.arange(length, device=operands.x.device).expand(K, length)
    y = directional_scan(*operands, order, 'none', backend=backend)
    assert isinstance(y, Tensor)
    return y


def _discretize(operands: Operands) -> tuple[Tensor, Tensor]:
    """Materialize decays and inputs of the state, (B, K * D, L, N) each, as all these loops do."""
    x, delta, A, B, _, _ = operands
    decay = torch.exp(delta[..., None] * A[:, None])
    return decay, delta[..., None] * _per_channel(B, x) * x[..., None]


def _per_channel(matrix: Tensor, x: Tensor) -> Tensor:
    """Repeat (B, K, N, L) for each channel: (B, K * D, L, N); a view when K is 1."""
    batch, K, states, length = matrix.shape
    channels = x.shape[1] // K
    per_channel = matrix.transpose(2, 3)[:, :, None].expand(batch, K, channels, length, states)
    return per_channel.flatten(1, 2)


def _add_skip(outputs: Iterator[Tensor], operands: Operands) -> Tensor:
    return torch.stack(list(outputs), 2) + operands.D[:, None] * operands.x


def unbind_loop(operands: Operands) -> Tensor:
    """Run the textbook loop over ``unbind``, whose backward is one ``stack``."""
    decay, inputs = _discretize(operands)
    C = _per_channel(operands.C, operands.x)

    def outputs() -> Iterator[Tensor]:
        state = torch.zeros_like(decay[:, :, 0])
        for decay_t, input_t, C_t in zip(*(t.unbind(2) for t in (decay, inputs, C)), strict=True):
            state = decay_t * state + input_t
            yield (state * C_t).sum(-1)

    return _add_skip(outputs(), operands)


def slicing_loop(operands: Operands) -> Tensor:
    """Run the textbook loop over ``[:, :, t]``, as ``mamba_ssm``'s ``selective_scan_ref``.

    The gradient of each slice is a tensor of full size: the backward takes L * L.
    """
    decay, inputs = _discretize(operands)
    C = _per_channel(operands.C, operands.x)

    def outputs() -> Iterator[Tensor]:
        state = torch.zeros_like(decay[:, :, 0])
        for t in range(decay.shape[2]):
            state = decay[:, :, t] * state + inputs[:, :, t]
            yield (state * C[:, :, t]).sum(-1)

    return _add_skip(outputs(), operands)


def transformers_loop(operands: Operands) -> Tensor:
    """Run the loop of transformers' Mamba without kernels, with groups.

    That is ``mamba_selective_scan`` in 5.23, and before it ``MambaMixer.slow_forward``. It slices
    too, and reads the state out with one small matrix product per step.
    """
    decay, inputs = _discretize(operands)
    C = operands.C  # (B, K, N, L)

    def outputs() -> Iterator[Tensor]:
        state = torch.zeros_like(decay[:, :, 0])
        for t in range(decay.shape[2]):
            state = decay[:, :, t, :] * state + inputs[:, :, t, :]
            grouped = state.unflatten(1, (C.shape[1], -1))  # (B, K, D, N)
            yield torch.matmul(grouped, C[..., t, None]).flatten(1)

    return _add_skip(outputs(), operands)


def parallel_scan(operands: Operands) -> Tensor:
    """Run mambapy's Blelloch scan as its ``MambaBlock.selective_scan`` does, with groups."""
    from mambapy.pscan import pscan

    x, delta, A, B, C, D = operands  # (B, L, K * D) and (B, L, K, N)
    channels = x.shape[2] // B.shape[2]

    def per_channel(matrix: Tensor) -> Tensor:
        return matrix[:, :, :, None].expand(-1, -1, -1, channels, -1).flatten(2, 3)

    decay = torch.exp(delta[..., None] * A)  # (B, L, K * D, N)
    inputs = delta[..., None] * per_channel(B) * x[..., None]
    states = pscan(decay, inputs).unflatten(2, (-1, channels))  # (B, L, K, D, N)
    return (states @ C[..., None]).flatten(2) + D * x
