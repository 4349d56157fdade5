"""Measure the peak memory of a function in a process of its own."""

import contextlib
import ctypes
import multiprocessing
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import torch

#: Writing 5 there makes the kernel forget the peak so far (Linux, see proc(5)).
CLEAR, STATUS = Path('/proc/self/clear_refs'), Path('/proc/self/status')


class MemoryProcess:
    """A process in which one piece of work after the other is run and watched.

    On a CPU the pages of the process count, those of a kernel's own memory and of the allocator's
    cut-off included; on CUDA what torch's allocator hands out.

    Args:
        device: Where the work runs.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device.type
        self._threads = torch.get_num_threads()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> 'MemoryProcess':
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def peak(self, prepare: Callable[..., Callable[[], object]], *arguments: Any) -> int | None:
        """Return how many bytes it takes beyond what ``prepare(*arguments)`` leaves behind.

        Args:
            prepare: A function of a module: makes the tensors, warms up on something small, and
                returns the call to measure.
            arguments: Of ``prepare``; picklable.

        Returns:
            None if it cannot be measured: there is no /proc, or memory ran out.
        """
        if self._device == 'cpu' and not CLEAR.exists():
            return None
        if self._pool is None:
            context = multiprocessing.get_context('spawn')  # threads do not survive a fork
            self._pool = ProcessPoolExecutor(
                1, context, initializer=torch.set_num_threads, initargs=(self._threads,)
            )
        try:
            return self._pool.submit(_measure, prepare, arguments, self._device).result()
        except torch.OutOfMemoryError:
            return None
        except BrokenProcessPool:  # killed for its memory
            self._pool = None
            return None


def _measure(
    prepare: Callable[..., Callable[[], object]], arguments: tuple[Any, ...], device: str
) -> int:
    call = prepare(*arguments)
    if device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    with contextlib.suppress(AttributeError, OSError):  # glibc keeps what was freed; others do not
        ctypes.CDLL(None).malloc_trim(0)
    CLEAR.write_text('5')
    before = _status('VmRSS')
    call()
    return max(0, _status('VmHWM') - before)


def _status(field: str) -> int:
    found = re.search(rf'{field}:\s+(\d+) kB', STATUS.read_text())
    assert found is not None
    return 1024 * int(found[1])
