"""Time several implementations of one operation in one process, in turns."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

#: A turn lasts as long as this or one call, so that a fast call is timed with warm caches.
TURN_SECONDS = 0.05
#: A call as slow as this, and as the budget, is timed at once: a cold start does not show.
SLOW_SECONDS = 1.0


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one call.

    Attributes:
        min: The fastest; what else runs on the machine can only add to it.
        median: The usual one.
        calls: How many were timed.
    """

    min: float
    median: float
    calls: int


def elapsed(call: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of one call; on CUDA those of the device, launches included."""
    if device.type == 'cuda':
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1000
    start_time = time.perf_counter()
    call()
    return time.perf_counter() - start_time


def interleave(
    calls: Mapping[str, Callable[[], object]], seconds: float, device: torch.device
) -> dict[str, Timing]:
    """Time all calls in rounds, so that a slow minute of the machine meets every one of them.

    Each is called once to warm up. Then, in a round, each whose budget is not used up has one turn.

    Args:
        calls: What to time, by name.
        seconds: Budget of each; all are timed once at least.
        device: Where they run.
    """
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for name, call in calls.items():
        if (warmup := elapsed(call, device)) >= max(SLOW_SECONDS, seconds):
            samples[name].append(warmup)
    waiting = [name for name in calls if not samples[name]]
    while waiting:
        for name in waiting:
            turn = 0.0
            while turn < min(TURN_SECONDS, seconds):
                samples[name].append(elapsed(calls[name], device))
                turn += samples[name][-1]
        waiting = [name for name in waiting if sum(samples[name]) < seconds]
    return {
        name: Timing(1000 * min(values), 1000 * statistics.median(values), len(values))
        for name, values in samples.items()
    }
