"""The convolution of Dao-AILab's package ``causal_conv1d``, for CUDA.

It takes 2 to 4 taps and walks forward: other widths go to the ``torch`` backend, reversed
traversals are flipped on the way in and out.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from transmamba_mm.ops.backends import torch_conv
from transmamba_mm.ops.backends.backend import Backend
from transmamba_mm.ops.backends.cuda import cuda_with

#: ``causal_conv1d_fn(x, weight, bias, activation=...)``.
Kernel = Callable[..., Any]
TAPS = (2, 3, 4)
#: The channel-last kernel needs sizes and strides in multiples of this.
VECTOR = 8


available = cuda_with('causal_conv1d_cuda', 'causal_conv1d')


@functools.cache
def _kernel() -> Kernel:
    from causal_conv1d import causal_conv1d_fn

    return torch.compiler.disable(causal_conv1d_fn)  # a graph ends here: an extension in C++


def conv_with(
    kernel: Kernel,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    reverse: tuple[bool, ...],
    silu: bool,
) -> Tensor:
    """Run ``causal_conv1d_fn`` or its equal once per direction."""
    activation = 'silu' if silu else None
    rows = {walked: _rows(x.flip(1) if walked else x) for walked in set(reverse)}
    outputs = []
    for weight_k, bias_k, backward in zip(weight, bias, reverse, strict=True):
        y = kernel(rows[backward], weight_k, bias_k, activation=activation).transpose(1, 2)
        outputs.append(y.flip(1) if backward else y)
    stacked = torch.stack(outputs)
    if stacked.requires_grad:  # the kernel refuses gradients with odd strides
        stacked.register_hook(Tensor.contiguous)
    return stacked


def _rows(x: Tensor) -> Tensor:
    """Return (B, L, E) as the kernel's (B, E, L), copied only where it must be time-last."""
    aligned = (x.shape[2], x.stride(0), x.stride(1), x.storage_offset())
    rows = x.transpose(1, 2)
    if x.stride(2) == 1 and all(number % VECTOR == 0 for number in aligned):
        return rows
    return rows.contiguous()


def conv(x: Tensor, weight: Tensor, bias: Tensor, reverse: tuple[bool, ...], silu: bool) -> Tensor:
    """See :class:`transmamba_mm.ops.backends.backend.Conv`."""
    if weight.shape[2] not in TAPS or x.numel() == 0:
        # This kernel rounds half precision once, the torch backend would at every tap.
        x, weight, bias = (
            t.to(torch.promote_types(t.dtype, torch.float32)) for t in (x, weight, bias)
        )
        return torch_conv.conv(x, weight, bias, reverse, silu)
    return conv_with(_kernel(), x, weight, bias, reverse, silu)


BACKEND = Backend(
    'causal_conv1d',
    conv,
    ('cuda',),
    (torch.float32, torch.float16, torch.bfloat16),
    available,
)
