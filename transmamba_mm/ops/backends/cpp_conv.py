"""The causal depthwise convolutions in C++ for CPUs; see ``csrc/causal_conv1d.cpp``."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from transmamba_mm.ops.backends import cpp, torch_conv
from transmamba_mm.ops.backends.backend import Backend
from transmamba_mm.ops.backends.cpp_call import KernelCall, kernels
from transmamba_mm.ops.backends.library import LIBRARY, needs_grad

# Numbers of taps that the kernel is compiled for.
TAPS = (2, 3, 4)
# With fewer numbers than this to write, waking other threads costs more.
SERIAL_NUMBERS = 1 << 15

# torch.jit traces no list of booleans.
_ARGUMENTS = 'Tensor x, Tensor weight, Tensor bias, int[] reverse, bool silu'


def _call(
    y: Tensor, x: Tensor, weight: Tensor, bias: Tensor, reverse: Sequence[int], silu: bool
) -> KernelCall:
    (K, E, T), (B, L, _) = weight.shape, x.shape
    threads = torch.get_num_threads() if y.numel() > SERIAL_NUMBERS else 1
    call = KernelCall(K, B, L, E, T, silu, threads)
    call.add_pointers(torch.tensor(reverse, dtype=torch.int64))
    call.add_view(x)
    call.add_view(y.transpose(0, 1))
    call.add_pointers(weight, bias)
    return call


def _empty_output(x: Tensor, weight: Tensor, *_: Any) -> Tensor:
    return x.new_empty(len(weight), *x.shape)


def _empty_gradients(dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, *_: Any) -> list[Tensor]:
    return [dy.new_empty(tensor.shape) for tensor in (x, weight, bias)]


def _forward(x: Tensor, weight: Tensor, *arguments: Any) -> Tensor:
    y = _empty_output(x, weight)
    _call(y, x, weight, *arguments).run(kernels().conv_forward)
    return y


def _backward(dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, *arguments: Any) -> list[Tensor]:
    dx, dweight, dbias = gradients = _empty_gradients(dy, x, weight, bias)
    call = _call(dy, x, weight, bias, *arguments)
    call.add_view(dx)
    call.add_pointers(dweight, dbias)
    call.run(kernels().conv_backward)
    return gradients


LIBRARY.define(f'conv_cpp({_ARGUMENTS}) -> Tensor')
LIBRARY.define(f'conv_cpp_backward(Tensor dy, {_ARGUMENTS}) -> Tensor[]')
LIBRARY.impl('conv_cpp', _forward, 'CPU')
LIBRARY.impl('conv_cpp_backward', _backward, 'CPU')
torch.library.register_fake('transmamba_mm::conv_cpp', _empty_output, lib=LIBRARY)
torch.library.register_fake('transmamba_mm::conv_cpp_backward', _empty_gradients, lib=LIBRARY)


class _Conv(torch.autograd.Function):
    """The two operators as one."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        *tensors, ctx.reverse, ctx.silu = arguments
        ctx.save_for_backward(*tensors)
        return torch.ops.transmamba_mm.conv_cpp.default(*arguments)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
        gradients = torch.ops.transmamba_mm.conv_cpp_backward.default(
            dy, *ctx.saved_tensors, ctx.reverse, ctx.silu
        )
        return *gradients, None, None


def conv(x: Tensor, weight: Tensor, bias: Tensor, reverse: tuple[bool, ...], silu: bool) -> Tensor:
    """See :class:`transmamba_mm.ops.backends.backend.Conv`."""
    if weight.shape[2] not in TAPS:
        return torch_conv.conv(x, weight, bias, reverse, silu)
    walked = [int(backward) for backward in reverse]
    # A graph that torch.jit traces has the operator, which can be saved and counted.
    if needs_grad(x, weight, bias) and not torch.jit.is_tracing():
        return _Conv.apply(x, weight, bias, walked, silu)
    return torch.ops.transmamba_mm.conv_cpp.default(x, weight, bias, walked, silu)


BACKEND = Backend('cpp', conv, ('cpu',), (torch.float32,), cpp.available)
