"""The scan as a loop over time steps: the documentation of the maths and the oracle of the tests.

Mamba (Gu and Dao 2023, https://arxiv.org/abs/2312.00752), equations 2a-2b with the discretization
of section 3.3: zero-order hold for A, Euler for B. For every direction k, channel e and state n::

    delta_t = softplus(delta_t + bias)
    h_t = exp(delta_t * A) * h_{t-1} + delta_t * B_t * x_t
    y_t = (sum_n C_t * h_t + D * x_t) * silu(gate_t)
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from transmamba_mm.ops.backends.backend import Backend, ScanInputs
from transmamba_mm.ops.scan_order import invert_order


def permute_tokens(tokens: Tensor, order: Tensor) -> Tensor:
    """Permute (B, K, L, C) so that entry t of direction k is token ``order[k, t]``."""
    return tokens.gather(2, order[None, :, :, None].expand_as(tokens))


def scan(inputs: ScanInputs, return_last_state: bool = False) -> tuple[Tensor, Tensor | None]:
    """See :class:`transmamba_mm.ops.backends.backend.Scan`."""
    A, order = inputs.A, inputs.order
    x, delta, B, C = (inputs.per_direction(t) for t in (inputs.x, inputs.delta, inputs.B, inputs.C))
    if inputs.delta_bias is not None:
        delta = delta + inputs.delta_bias[:, None]
    if inputs.delta_softplus:
        delta = F.softplus(delta)
    x, delta, B, C = (
        permute_tokens(tokens, order) for tokens in (x, delta, B, C)
    )  # (B, K, L, E or N)

    state = inputs.initial_state
    if state is None:
        state = x.new_zeros(*x.shape[:2], *A.shape[1:])
    outputs = []
    # Slicing [:, :, t] in the loop would give each step a gradient of full size: L * L work.
    for x_t, delta_t, B_t, C_t in zip(*(s.unbind(2) for s in (x, delta, B, C)), strict=True):
        decay = torch.exp(delta_t[..., None] * A)  # (B, K, E, N)
        state = decay * state + (delta_t * x_t)[..., None] * B_t[..., None, :]
        outputs.append((state * C_t[..., None, :]).sum(-1))
    y = torch.stack(outputs, 2)  # (B, K, L, E)
    if inputs.D is not None:
        y = y + inputs.D[:, None] * x

    y = permute_tokens(y, invert_order(order))
    if inputs.gate is not None:
        y = y * F.silu(inputs.gate[:, None])
    if inputs.merge != 'none':
        y = y.sum(1) if inputs.merge == 'sum' else y.mean(1)
    return y, state if return_last_state else None


BACKEND = Backend('reference', scan)
