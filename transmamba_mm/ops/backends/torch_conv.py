"""The causal depthwise convolutions in plain torch: shifted multiply-adds, channel-last."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from transmamba_mm.ops.backends.backend import Backend


def conv(x: Tensor, weight: Tensor, bias: Tensor, reverse: tuple[bool, ...], silu: bool) -> Tensor:
    """See :class:`transmamba_mm.ops.backends.backend.Conv`; differentiable once."""
    directions = zip(weight.unbind(0), bias.unbind(0), reverse, strict=True)
    one = _traceable if torch.jit.is_tracing() else _Conv.apply
    return torch.stack([one(x, w, b, silu, backward) for w, b, backward in directions])


def _traceable(x: Tensor, weight: Tensor, bias: Tensor, silu: bool, reverse: bool) -> Tensor:
    """One direction for torch.jit.trace, which can save no Function and count nothing in it."""
    rows = (x.flip(1) if reverse else x).transpose(1, 2)
    rows = F.pad(rows, (weight.shape[1] - 1, 0))
    y = F.conv1d(rows, weight[:, None], bias, groups=rows.shape[1]).transpose(1, 2)
    y = F.silu(y) if silu else y
    return y.flip(1) if reverse else y


def _shifts(length: int, taps: int, reverse: bool) -> list[tuple[slice, slice]]:
    """Return, for s = 0 .. taps - 1, the tokens that have one s steps before them, and those."""
    pairs = [(slice(s, None), slice(0, max(length - s, 0))) for s in range(taps)]
    return [(before, now) for now, before in pairs] if reverse else pairs


class _Conv(torch.autograd.Function):
    """One direction."""

    @staticmethod
    def forward(ctx, x, weight, bias, silu, reverse):
        taps = weight.t().flip(0).contiguous()  # (W, E), the token itself first
        shifts = _shifts(x.shape[1], len(taps), reverse)
        y = torch.addcmul(bias, x, taps[0])
        for tap, (now, before) in zip(taps[1:], shifts[1:], strict=True):
            y[:, now].addcmul_(x[:, before], tap)
        ctx.shifts, ctx.silu = shifts, silu
        ctx.save_for_backward(x, taps, y if silu else None)
        return F.silu(y) if silu else y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        x, taps, y = ctx.saved_tensors
        if ctx.silu:
            dy = torch.ops.aten.silu_backward(dy, y)
        dx = dy * taps[0]
        for tap, (now, before) in zip(taps[1:], ctx.shifts[1:], strict=True):
            dx[:, before].addcmul_(dy[:, now], tap)
        dtaps = [(dy[:, now] * x[:, before]).sum((0, 1)) for now, before in ctx.shifts]
        return dx, torch.stack(dtaps[::-1], 1), dy.sum((0, 1)), None, None


BACKEND = Backend('torch', conv)
