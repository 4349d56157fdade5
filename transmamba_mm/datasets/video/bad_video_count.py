"""How many videos could not be read, counted in every worker and known to the main process."""

import torch
from mmengine.logging import print_log
from torch.utils.data import get_worker_info

SLOTS = 1025  # the main process and so many workers
SHOWN = 5  # how many are named in the log


class BadVideoCount:
    """A counter in shared memory, one slot for each worker, so that none has to wait.

    It lives in a transform, which the DataLoader hands to its workers; the hook of the main process
    reads it.
    """

    def __init__(self) -> None:
        self._slots = torch.zeros(SLOTS, dtype=torch.int64).share_memory_()

    def __deepcopy__(self, memo: dict) -> 'BadVideoCount':
        """Count from here on alone, in shared memory again: a Runner copies its data sets."""
        copied = type(self)()
        copied._slots += self._slots
        return copied

    @property
    def total(self) -> int:
        """How often a video could not be read."""
        return int(self._slots.sum())

    def add(self, message: str) -> None:
        """Count one more; warn of the first few with ``message``."""
        if self.total < SHOWN:
            print_log(f'{message} It is left out.', logger='current', level=30)
        worker = get_worker_info()
        self._slots[worker.id + 1 if worker else 0] += 1
