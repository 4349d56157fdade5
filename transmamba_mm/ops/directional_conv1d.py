"""The short causal convolutions before a scan, one per traversal, with SiLU in the same step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.ops.backends.select import select_backend


def directional_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    reverse: Sequence[bool] = (False,),
    activation: str | None = None,
    backend: str = 'auto',
) -> Tensor:
    """Convolve every channel over the W - 1 tokens that its traversal visited before.

    ``y[k, t] = activation(bias[k] + sum_j weight[k, :, j] * x[t - (W - 1 - j)])``, tokens outside
    count as zero. Where ``reverse[k]`` the sequence is walked from its end, ``x[t + (W - 1 - j)]``:
    equal to flipping x, convolving and flipping back, without the flips. Differentiable once.

    Args:
        x: (B, L, E), any strides (such as a chunk of a projection).
        weight: (K, E, W). Mixed dtypes (autocast) are computed in the wider one; half precision in
            float32 and rounded once, by the backend itself where it takes half precision.
        bias: (K, E) or None.
        reverse: K times, whether the traversal runs from the last token to the first.
        activation: None or 'silu'.
        backend: a backend's name or 'auto', see :mod:`transmamba_mm.ops.backends.select`.

    Returns:
        (K, B, L, E) in the dtype of ``x``; directions outermost, so that the projections which
        follow are one large product each.

    Raises:
        UserError: shapes that do not fit, an unknown activation, or a backend that cannot be used.
    """
    if x.dim() != 3 or weight.dim() != 3 or weight.shape[1] != x.shape[2]:
        raise UserError(
            f'x must be (B, L, E) and weight (K, E, W), but x is {tuple(x.shape)} and weight '
            f'{tuple(weight.shape)}'
        )
    if bias is not None and bias.shape != weight.shape[:2]:
        raise UserError(
            f'bias has shape {tuple(bias.shape)}, expected {tuple(weight.shape[:2])} as the weight'
        )
    if len(reverse) != len(weight):
        raise UserError(f'reverse has {len(reverse)} entries for {len(weight)} directions')
    if activation not in (None, 'silu'):
        raise UserError(f"activation is {activation!r}; it is None or 'silu'")
    dtype = torch.promote_types(x.dtype, weight.dtype)
    if bias is None:
        bias = weight.new_zeros(weight.shape[:2])
    wide = torch.promote_types(dtype, torch.float32)
    chosen = select_backend('conv', backend, x.device, wide)
    if dtype not in chosen.dtypes:
        dtype = wide
    y = chosen.kernel(
        x.to(dtype), weight.to(dtype), bias.to(dtype), tuple(reverse), activation == 'silu'
    )
    return y.to(x.dtype)
