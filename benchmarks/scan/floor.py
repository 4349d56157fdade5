"""The least time a selective scan should take on this machine, from two rates measured here.

A scan of U = B * K * D * L * N state updates needs U exps, and has to read what it is given and
write what it returns. In floats, with T = B * K * D * L and M = B * K * L * N::

    forward   reads x, delta (2 T), B, C (2 M), A, D; writes y (T)
    backward  reads x, delta, dy (3 T), B, C (2 M), A, D;
              writes dx, ddelta (2 T), dB, dC (2 M), dA, dD

    floor(forward)            = max(U / exps per second, bytes of forward / bytes per second)
    floor(forward + backward) = max(2 U / exps per second, bytes of both / bytes per second)

The backward needs every decay again: 2 U, by recomputation, as keeping them would write and read
U floats, which is slower. What this assumes, all in favor of the floor: products and sums are free
(a backward has about a dozen per update, against some eight instructions of an exp), nothing else
is kept between forward and backward, memory is allocated and its pages are there, exps and memory
overlap perfectly. It is no proof, though: the exp is the fastest we measured, not the fastest
possible, and for a shape of a few thousand elements the rate of ``copy_`` is mostly that of calling
it.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.scan.problem import ScanShape
from benchmarks.timing import interleave
from transmamba_mm.ops.backends.cpp_build import BuildError, load_library

FLOAT_BYTES = 4
#: Spent on each rate.
SECONDS = 0.3
#: Of one thread, in its first cache.
BUFFER_ELEMENTS = 2048
#: Of all threads or a whole GPU, where torch's exp2 takes the place of the kernel.
TENSOR_ELEMENTS = (1 << 15, 1 << 17, 1 << 19, 1 << 23)


class Rates(NamedTuple):
    """Throughput of the machine at one shape, all threads together.

    Attributes:
        exps: In float32.
        forward_bytes, both_bytes: Of ``copy_``, reads and writes both counted, on as many bytes as
            the scan touches, so that caches help the floor as much as they can help the scan.
        exp_source: What the exps were measured with.
    """

    exps: float
    forward_bytes: float
    both_bytes: float
    exp_source: str

    def best(self, other: 'Rates') -> 'Rates':
        """Return the higher of each: what else ran can only have lowered them."""
        return Rates(*map(max, self, other))


@dataclass(frozen=True)
class Floor:
    """Milliseconds that a scan of one shape should not beat, and what limits it.

    Attributes:
        forward, both: Of the forward, and of forward and backward together.
        forward_limit, both_limit: 'exp' or 'memory'.
        rates: What it was computed from.
    """

    forward: float
    both: float
    forward_limit: str
    both_limit: str
    rates: Rates


def scan_bytes(shape: ScanShape) -> tuple[int, int]:
    """Count the bytes that a forward, and forward and backward together, read and write."""
    tokens, matrix, weights = shape.token_elements, shape.matrix_elements, shape.weight_elements
    forward = 3 * tokens + 2 * matrix + weights
    backward = 5 * tokens + 4 * matrix + 2 * weights
    return FLOAT_BYTES * forward, FLOAT_BYTES * (forward + backward)


def measure_rates(shape: ScanShape, device: torch.device) -> Rates:
    """Measure; takes about a second."""
    forward, both = (bytes_per_second(count, device) for count in scan_bytes(shape))
    exps, source = measure_exps(device)
    return Rates(exps, forward, both, source)


def floor_of(shape: ScanShape, rates: Rates) -> Floor:
    """Return the floor of one shape; see the module's docstring."""
    milliseconds, limits = [], []
    work = zip(
        (shape.updates, 2 * shape.updates),
        scan_bytes(shape),
        (rates.forward_bytes, rates.both_bytes),
        strict=True,
    )
    for exps, count, bytes_rate in work:
        times = {'exp': 1000 * exps / rates.exps, 'memory': 1000 * count / bytes_rate}
        limits.append(max(times, key=times.__getitem__))
        milliseconds.append(times[limits[-1]])
    return Floor(*milliseconds, *limits, rates)


def bytes_per_second(count: int, device: torch.device) -> float:
    """Measure ``copy_`` when source and target together are ``count`` bytes."""
    source = torch.ones(max(1, count // (2 * FLOAT_BYTES)), device=device)
    target = torch.ones_like(source)
    return 2 * source.nbytes / _seconds(lambda: target.copy_(source), device)


def measure_exps(device: torch.device) -> tuple[float, str]:
    """Return exps per second (float32, torch's number of threads), and their source."""
    if device.type == 'cpu':
        try:
            return _kernel_rate(
                load_library(Path(__file__).parent).exp_throughput
            ), 'exp2 of the cpp scan, from the first cache'
        except BuildError:
            pass
    rates = []
    for elements in TENSOR_ELEMENTS:
        exponents = -torch.rand(elements, device=device)
        call = partial(torch.exp2, exponents, out=torch.empty_like(exponents))
        rates.append(elements / _seconds(call, device))
    return max(rates), 'torch.exp2, the best of several sizes'


def _kernel_rate(kernel: Callable[..., object]) -> float:
    threads, repeats = torch.get_num_threads(), 512
    buffer = -torch.rand(BUFFER_ELEMENTS)
    sink = torch.empty(threads * 16)  # the widest vector has 16 lanes
    call = partial(
        kernel,
        ctypes.c_void_p(buffer.data_ptr()),
        *(ctypes.c_int64(size) for size in (BUFFER_ELEMENTS, repeats, threads)),
        ctypes.c_void_p(sink.data_ptr()),
    )
    exps = threads * repeats * BUFFER_ELEMENTS
    return exps / _seconds(call, torch.device('cpu'))


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    return interleave({'call': call}, SECONDS, device)['call'].min / 1000
