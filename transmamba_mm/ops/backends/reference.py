"""The scan as a loop over time steps: the documentation of the maths and the oracle of the tests.

Mamba (Gu and Dao 2023, https://arxiv.org/abs/2312.00752), equations 2a-2b with the discretization
of section 3.3: zero-order hold for A, Euler for B. For every direction k, channel e and state n::

    delta_t = softplus(delta_t + bias)
    h_t = exp(delta_t * A) * h_{t-1} + delta_t * B_t * x_t
    y_t = sum_n C_t * h_t + D * x_t
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from transmamba_mm.ops.backends.backend import Backend
from transmamba_mm.ops.scan_order import invert_order


def visit(tokens: Tensor, order: Tensor) -> Tensor:
    """Permute (B, K, L, C) so that entry t of direction k is token ``order[k, t]``."""
    return tokens.gather(2, order[None, :, :, None].expand_as(tokens))


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
) -> tuple[Tensor, Tensor | None]:
    """See :class:`transmamba_mm.ops.backends.backend.Scan`."""
    if x.dim() == 3:
        x = x[:, None].expand_as(delta)
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    x, delta, B, C = (visit(tokens, order) for tokens in (x, delta, B, C))  # (B, K, L, E or N)

    state = x.new_zeros(*x.shape[:2], *A.shape[1:]) if initial_state is None else initial_state
    outputs = []
    # Slicing [:, :, t] in the loop would give each step a gradient of full size: L * L work.
    for x_t, delta_t, B_t, C_t in zip(*(s.unbind(2) for s in (x, delta, B, C)), strict=True):
        decay = torch.exp(delta_t[..., None] * A)  # (B, K, E, N)
        state = decay * state + (delta_t * x_t)[..., None] * B_t[..., None, :]
        outputs.append((state * C_t[..., None, :]).sum(-1))
    y = torch.stack(outputs, 2)  # (B, K, L, E)
    if D is not None:
        y = y + D[:, None] * x

    y = visit(y, invert_order(order))
    if merge != 'none':
        y = y.sum(1) if merge == 'sum' else y.mean(1)
    return y, state if return_last_state else None


BACKEND = Backend('reference', scan)
