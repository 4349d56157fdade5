"""Save, restore and isolate the random number generators of a process."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object


def get_random_state() -> dict[str, Any]:
    """The state of Python's, numpy's, torch's and each CUDA device's generator.

    It holds numbers and tensors only, as loading a checkpoint without running code requires.
    """
    return {
        'python': random.getstate(),
        'numpy': np.random.get_state(),
        'torch': torch.get_rng_state(),
        'cuda': torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Set what :func:`get_random_state` gave."""
    version, numbers, gauss = state['python']
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(tuple(state['numpy']))
    torch.set_rng_state(state['torch'].cpu())
    for device, numbers in enumerate(state['cuda'][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(numbers.cpu(), device)


def gather_random_states() -> list[dict[str, Any]]:
    """The state of each process, by rank; all of them have to call it."""
    return all_gather_object(get_random_state())


@contextmanager
def seeded(key: Sequence[int]) -> Iterator[None]:
    """Seed Python, numpy and torch's CPU by ``key`` for a while; their own streams are untouched.

    Args:
        key: Non-negative numbers; other keys give independent streams.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seeds = np.random.SeedSequence(key).generate_state(3)
    random.seed(int(seeds[0]))
    np.random.seed(seeds[1])
    torch.default_generator.manual_seed(int(seeds[2]))
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
