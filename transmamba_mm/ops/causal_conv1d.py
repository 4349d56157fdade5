"""The causal depthwise convolution before a scan, channel-last, with SiLU in the same step."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from transmamba_mm.errors import UserError


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str | None = None,
    reverse: bool = False,
) -> Tensor:
    """Convolve every channel over the W - 1 tokens before it (Dao-AILab's ``causal_conv1d``).

    ``y[t] = activation(bias + sum_j weight[:, j] * x[t - (W - 1 - j)])``, tokens outside count as
    zero. With ``reverse`` the sequence is walked from its end, ``x[t + (W - 1 - j)]``: equal to
    flipping x, convolving and flipping back, without the flips. Differentiable once.

    Args:
        x: (B, L, E), any strides (say, a chunk of a projection).
        weight: (E, W), or (E, 1, W) as ``nn.Conv1d`` keeps it. Mixed dtypes (autocast) are computed
            in the wider one.
        bias: (E,) or None.
        activation: None or 'silu'.
        reverse: whether the traversal runs from the last token to the first.

    Returns:
        (B, L, E) in the dtype of ``x``.

    Raises:
        UserError: shapes that do not fit, or an unknown activation.
    """
    if weight.dim() == 3 and weight.shape[1] == 1:
        weight = weight.squeeze(1)
    if x.dim() != 3 or weight.dim() != 2 or weight.shape[0] != x.shape[2]:
        raise UserError(
            f'x must be (B, L, E) and weight (E, W), but x is {tuple(x.shape)} and weight '
            f'{tuple(weight.shape)}'
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise UserError(f'bias has shape {tuple(bias.shape)}, expected ({weight.shape[0]},)')
    if activation not in (None, 'silu'):
        raise UserError(f"activation is {activation!r}; it is None or 'silu'")
    dtype = torch.promote_types(x.dtype, weight.dtype)
    if bias is None:
        bias = weight.new_zeros(weight.shape[0])
    arguments = (x.to(dtype), weight.to(dtype), bias.to(dtype), activation, reverse)
    return _CausalConv1d.apply(*arguments).to(x.dtype)


def _shifts(length: int, width: int, reverse: bool) -> list[tuple[slice, slice]]:
    """Return, for s = 0 .. width - 1, the tokens that have one s steps before them, and those."""
    pairs = [(slice(s, None), slice(0, max(length - s, 0))) for s in range(width)]
    return [(before, now) for now, before in pairs] if reverse else pairs


class _CausalConv1d(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, activation, reverse):
        taps = weight.t().flip(0).contiguous()  # (W, E), the token itself first
        shifts = _shifts(x.shape[1], len(taps), reverse)
        y = torch.addcmul(bias, x, taps[0])
        for tap, (now, before) in zip(taps[1:], shifts[1:], strict=True):
            y[:, now].addcmul_(x[:, before], tap)
        ctx.shifts, ctx.activation = shifts, activation
        ctx.save_for_backward(x, taps, y if activation else None)
        return F.silu(y) if activation else y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        x, taps, y = ctx.saved_tensors
        if ctx.activation:
            dy = torch.ops.aten.silu_backward(dy, y)
        dx = dy * taps[0]
        for tap, (now, before) in zip(taps[1:], ctx.shifts[1:], strict=True):
            dx[:, before].addcmul_(dy[:, now], tap)
        dtaps = [(dy[:, now] * x[:, before]).sum((0, 1)) for now, before in ctx.shifts]
        return dx, torch.stack(dtaps[::-1], 1), dy.sum((0, 1)), None, None
