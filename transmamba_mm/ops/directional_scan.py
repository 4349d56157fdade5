"""The selective scan of K traversals over channel-last tokens; every mixer's one operator."""

import torch
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.ops.backends.backend import ScanInputs
from transmamba_mm.ops.backends.select import select_backend
from transmamba_mm.ops.shapes import shape_of

MERGES = ('sum', 'mean', 'none')


def directional_scan(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    order: Tensor,
    merge: str = 'sum',
    *,
    gate: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    initial_state: Tensor | None = None,
    return_last_state: bool = False,
    backend: str = 'auto',
) -> Tensor | tuple[Tensor, Tensor]:
    """Scan L tokens along K traversals and merge the outputs (Mamba, arXiv 2312.00752, eq. 2).

    Token-wise projections commute with a traversal, so every tensor stays in canonical token
    order and only the scan reads ``order``; nothing is flipped or transposed.

    Half precision (as under autocast) is computed in float32: the decays multiply up along L.

    Args:
        x: (B, L, E) shared by all directions, or (B, K, L, E). Views are fine, here and below.
        delta: (B, K or 1, L, E) step sizes.
        A: (K, E, N), negative (already ``-exp(A_log)``).
        B: (B, K or 1, L, N) input matrix per token.
        C: (B, K or 1, L, N) output matrix per token.
        D: (K, E) skip weights, or None.
        order: (K, L) integers; step t of direction k visits token ``order[k, t]``. Every row is a
            permutation of the tokens (only the C++ backend checks it, where it is nearly free).
        merge: 'sum' or 'mean' over directions, or 'none'.
        gate: (B, L, E); the output is multiplied by ``silu(gate)``, as in every Mamba block.
        delta_bias: (K, E), added to ``delta`` before softplus.
        delta_softplus: pass ``delta`` through softplus.
        initial_state: (B, K, E, N), zeros when None.
        return_last_state: also return the state after the last step.
        backend: a backend's name or 'auto', see :mod:`transmamba_mm.ops.backends.select`.

    Returns:
        y (B, L, E) in canonical order and in the dtype of ``x``, or (B, K, L, E) for merge 'none';
        with ``return_last_state`` also the state (B, K, E, N) in the compute dtype.

    Raises:
        UserError: shapes that do not fit, an unknown merge, or a backend that cannot be used.
    """
    _check(x, delta, A, B, C, D, order, merge, gate, delta_bias, initial_state)
    dtype = torch.promote_types(x.dtype, torch.promote_types(delta.dtype, A.dtype))
    dtype = torch.promote_types(dtype, torch.float32)  # half and bfloat16 go up

    def cast(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.to(dtype)

    chosen = select_backend('scan', backend, x.device, dtype)
    inputs = ScanInputs(
        x.to(dtype),
        delta.to(dtype),
        A.to(dtype),
        B.to(dtype),
        C.to(dtype),
        cast(D),
        cast(gate),
        cast(delta_bias),
        cast(initial_state),
        order.to(x.device, torch.int64),
        merge,
        delta_softplus,
    )
    with torch.autocast(x.device.type, enabled=False):
        y, last_state = chosen.kernel(inputs, return_last_state)
    y = y.to(x.dtype)
    return (y, last_state) if last_state is not None else y


def _check(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    order: Tensor,
    merge: str,
    gate: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
) -> None:
    if merge not in MERGES:
        raise UserError(f'merge is {merge!r}; it is one of {", ".join(map(repr, MERGES))}')
    if x.dim() not in (3, 4) or A.dim() != 3:
        raise UserError(
            'x must be (B, L, E) or (B, K, L, E) and A (K, E, N), '
            f'but x is {tuple(x.shape)} and A {tuple(A.shape)}'
        )
    batch, *_, length, channels = shape_of(x)
    if length == 0:
        raise UserError(f'x has no tokens: {tuple(x.shape)}')
    K, _, N = shape_of(A)
    one = (1, K)
    expected: dict[str, tuple[Tensor | None, tuple[int | tuple[int, int], ...]]] = {
        'x': (x, (batch, length, channels) if x.dim() == 3 else (batch, K, length, channels)),
        'A': (A, (K, channels, N)),
        'delta': (delta, (batch, one, length, channels)),
        'B': (B, (batch, one, length, N)),
        'C': (C, (batch, one, length, N)),
        'D': (D, (K, channels)),
        'gate': (gate, (batch, length, channels)),
        'delta_bias': (delta_bias, (K, channels)),
        'initial_state': (initial_state, (batch, K, channels, N)),
        'order': (order, (K, length)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is not None and not _fits(shape_of(tensor), shape):
            wanted = ', '.join('K or 1' if isinstance(size, tuple) else str(size) for size in shape)
            raise UserError(
                f'{name} has shape {tuple(tensor.shape)}, expected ({wanted}) '
                f'[x {tuple(x.shape)}, K={K} directions and N={N} states from A {tuple(A.shape)}]'
            )
    if order.is_floating_point():
        raise UserError(f'order has dtype {order.dtype}; it holds token indices, give integers')


def _fits(shape: tuple[int, ...], expected: tuple[int | tuple[int, int], ...]) -> bool:
    return len(shape) == len(expected) and all(
        size in want if isinstance(want, tuple) else size == want
        for size, want in zip(shape, expected, strict=True)
    )
