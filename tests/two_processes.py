"""Run a part of a test on two processes that talk by gloo."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp

SECONDS = 120  # after which they are stuck


def on_two_processes(work: Callable[[int], Any], folder: Path) -> list[Any]:
    """Call ``work(rank)`` in each, and return what both gave: tensors, and what holds them.

    Args:
        work: Any function; each process is a fork of this one.
        folder: An empty one, for what they exchange.
    """
    # Forks have imported what the test has: seconds less than new processes take.
    context = mp.start_processes(_run, (work, folder), 2, join=False, start_method='fork')
    try:
        deadline = time.monotonic() + SECONDS
        while not context.join(timeout=1):  # False, too, when only one of them has finished
            assert time.monotonic() < deadline, 'the two processes have not finished'
    finally:
        for process in context.processes:
            process.kill()
    return [torch.load(folder / f'{rank}.pth', weights_only=True) for rank in range(2)]


def _run(rank: int, work: Callable[[int], Any], folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2
    )
    torch.save(work(rank), folder / f'{rank}.pth')
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    os._exit(0)  # gloo's threads may keep an interpreter from its end
