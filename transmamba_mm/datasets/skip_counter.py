"""Count unreadable videos or images across DataLoader workers."""

import torch
from mmengine.logging import print_log
from torch.utils.data import get_worker_info

SLOTS = 1025  # the main process and so many workers
SHOWN = 5  # how many are named in the log


class SkipCounter:
    """A counter in shared memory with one slot per worker, so without a lock.

    A transform has it as ``skipped``; the DataLoader copies it to its workers, and the hook of the
    main process reads it.

    Args:
        kind (str): What is counted, in the plural: 'videos'.
        advice (str): How to find the bad ones.
    """

    def __init__(self, kind: str, advice: str) -> None:
        self.kind = kind
        self.advice = advice
        self._slots = torch.zeros(SLOTS, dtype=torch.int64).share_memory_()

    def __deepcopy__(self, memo: dict) -> 'SkipCounter':
        """Copy the counts into new shared memory: a Runner copies its data sets."""
        copied = type(self)(self.kind, self.advice)
        copied._slots += self._slots
        return copied

    @property
    def total(self) -> int:
        """Number of skipped items."""
        return int(self._slots.sum())

    def add(self, message: str) -> None:
        """Count one more; warn of the first few with ``message``."""
        if self.total < SHOWN:
            print_log(f'{message} It is skipped.', logger='current', level=30)
        worker = get_worker_info()
        self._slots[worker.id + 1 if worker else 0] += 1
