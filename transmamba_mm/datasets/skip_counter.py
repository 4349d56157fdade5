"""How many videos or images could not be read, counted in every worker, known to all."""

import torch
from mmengine.logging import print_log
from torch.utils.data import get_worker_info

SLOTS = 1025  # the main process and so many workers
SHOWN = 5  # how many are named in the log


class SkipCounter:
    """A counter in shared memory, one slot for each worker, so that none has to wait.

    It lives in a transform, as its ``skipped``, which the DataLoader hands to its workers; the
    hook of the main process reads it.

    Args:
        kind (str): What is counted, with its article: 'a video'.
        advice (str): How the bad ones are found.
    """

    def __init__(self, kind: str, advice: str) -> None:
        self.kind = kind
        self.advice = advice
        self._slots = torch.zeros(SLOTS, dtype=torch.int64).share_memory_()

    def __deepcopy__(self, memo: dict) -> 'SkipCounter':
        """Count from here on alone, in shared memory again: a Runner copies its data sets."""
        copied = type(self)(self.kind, self.advice)
        copied._slots += self._slots
        return copied

    @property
    def total(self) -> int:
        """How often an item could not be read."""
        return int(self._slots.sum())

    def add(self, message: str) -> None:
        """Count one more; warn of the first few with ``message``."""
        if self.total < SHOWN:
            print_log(f'{message} It is left out.', logger='current', level=30)
        worker = get_worker_info()
        self._slots[worker.id + 1 if worker else 0] += 1
