"""``mamba_ssm``'s ``selective_scan_fn``, argument for argument, on our backends."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.ops.directional_scan import directional_scan


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    backend: str = 'auto',
) -> Tensor | tuple[Tensor, Tensor]:
    """Selective scan in the (B, D, L) layout of ``mamba_ssm.ops.selective_scan_interface``.

    Here D channels, N states, L steps. Channels in G groups share B and C, so the groups are the
    directions of :func:`directional_scan`, all of them walking forward; a B or C that is constant
    in time is a group per channel. Half precision is computed in float32, the gate included, and
    rounded once. The transposes make this slower than ``directional_scan``.

    Args:
        u: (B, D, L).
        delta: (B, D, L).
        A: (D, N), real, negative.
        B: (D, N) constant in time, (B, N, L), or (B, G, N, L).
        C: as B.
        D: (D,) skip weights.
        z: (B, D, L) gate; the output is multiplied by ``silu(z)``.
        delta_bias: (D,), added to ``delta`` before softplus.
        delta_softplus: pass ``delta`` through softplus.
        return_last_state: also return the state (B, D, N) after the last step.
        backend: a backend's name or 'auto'.

    Raises:
        UserError: shapes that do not fit, or a backend that cannot be used.
    """
    _check(u, delta, A, B, C, D, z, delta_bias)
    dtype = u.dtype
    u, delta, A, B, C, D, z, delta_bias = map(_widen, (u, delta, A, B, C, D, z, delta_bias))
    batch, channels, length = u.shape
    groups = math.lcm(*(channels if m.dim() == 2 else m.shape[1:-2].numel() for m in (B, C)))

    def grouped(tokens: Tensor) -> Tensor:  # (B, D, L) -> (B, G, L, D / G)
        return tokens.reshape(batch, groups, -1, length).transpose(2, 3)

    def per_group(matrix: Tensor) -> Tensor:  # any of the three layouts -> (B, G, L, N)
        if matrix.dim() == 2:
            return matrix[None, :, None].expand(batch, channels, length, -1)
        if matrix.dim() == 3:
            matrix = matrix[:, None]
        return matrix.repeat_interleave(groups // matrix.shape[1], 1).transpose(2, 3)

    scanned = directional_scan(
        grouped(u),
        grouped(delta),
        A.reshape(groups, -1, A.shape[-1]),
        per_group(B),
        per_group(C),
        None if D is None else D.reshape(groups, -1),
        torch.arange(length, device=u.device).expand(groups, length),
        'none',
        delta_bias=None if delta_bias is None else delta_bias.reshape(groups, -1),
        delta_softplus=delta_softplus,
        return_last_state=return_last_state,
        backend=backend,
    )
    y, last_state = scanned if isinstance(scanned, tuple) else (scanned, None)
    y = y.transpose(2, 3).reshape(u.shape)
    if z is not None:
        y = y * F.silu(z)
    y = y.to(dtype)
    return (y, last_state.reshape(batch, channels, -1)) if last_state is not None else y


def _widen(tensor: Any) -> Any:
    """Half precision in float32: outputs and gradients are then rounded once, at the end."""
    return tensor if tensor is None else tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _check(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
) -> None:
    if u.dim() != 3 or A.dim() != 2:
        raise UserError(
            f'u must be (B, D, L) and A (D, N), but u is {tuple(u.shape)} and A {tuple(A.shape)}'
        )
    if A.is_complex():
        raise UserError('A is complex; only real A is supported')
    batch, channels, length = u.shape
    N = A.shape[1]

    def matrix_shapes(matrix: Tensor) -> list[tuple[int, ...]]:
        shapes = [(channels, N), (batch, N, length)]
        divisors = matrix.dim() == 4 and matrix.shape[1] and channels % matrix.shape[1] == 0
        return [*shapes, (batch, matrix.shape[1], N, length)] if divisors else shapes

    expected: dict[str, tuple[Tensor | None, list[tuple[int, ...]]]] = {
        'delta': (delta, [(batch, channels, length)]),
        'A': (A, [(channels, N)]),
        'B': (B, matrix_shapes(B)),
        'C': (C, matrix_shapes(C)),
        'D': (D, [(channels,)]),
        'z': (z, [(batch, channels, length)]),
        'delta_bias': (delta_bias, [(channels,)]),
    }
    for name, (tensor, shapes) in expected.items():
        if tensor is not None and tuple(tensor.shape) not in shapes:
            wanted = ' or '.join(map(str, shapes))
            if name in 'BC':
                wanted += f' or (B, G, N, L) with G a divisor of {channels}'
            raise UserError(
                f'{name} has shape {tuple(tensor.shape)}, expected {wanted} '
                f'[u {tuple(u.shape)}, A {tuple(A.shape)}]'
            )
