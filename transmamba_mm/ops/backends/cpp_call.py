"""Call a C++ kernel: pointers, strides and sizes in the order of a struct in ``csrc/``."""

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.ops.backends.cpp_build import load_library


@functools.cache
def kernels() -> ctypes.CDLL:
    """Return the compiled kernels, or raise :class:`~.cpp_build.BuildError` with the reason."""
    return load_library()


class KernelCall:
    """The fields of a kernel's struct, each of 64 bits."""

    def __init__(self, *sizes: int) -> None:
        self.fields = [*sizes]
        self.alive: list[Tensor] = []  # contiguous copies that the pointers point into

    def add_view(self, tokens: Tensor | None) -> None:
        """Add a (B, L, C) or (B, K, L, C) tensor; its stride along K is 0 where all K share it."""
        if tokens is None:
            self.fields += (0, 0, 0, 0)
            return
        if tokens.stride(-1) != 1:
            tokens = tokens.contiguous()
        stride = tokens.stride()
        per_direction = stride[1] if tokens.dim() == 4 and tokens.shape[1] > 1 else 0
        self.fields += (self._pointer(tokens), stride[0], per_direction, stride[-2])

    def add_pointers(self, *tensors: Tensor | None) -> None:
        """Add contiguous tensors; null for missing or empty ones."""
        self.fields += [0 if t is None else self._pointer(t.contiguous()) for t in tensors]

    def _pointer(self, tensor: Tensor) -> int:
        if tensor.dtype not in (torch.float32, torch.int64):
            raise UserError(f'the cpp backend takes float32 tensors only, not {tensor.dtype}')
        self.alive.append(tensor)
        return tensor.data_ptr()

    def run(self, kernel: Any) -> int:
        """Call the kernel; returns its status."""
        return kernel((ctypes.c_int64 * len(self.fields))(*self.fields))
