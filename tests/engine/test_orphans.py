"""Workers that load data end with the training that started them, however that ends."""

import os
import signal
import subprocess
import sys
import time

import pytest

#: Fills the pipes of two workers with batches that nobody takes, and prints the workers' numbers.
TRAINING = """
import time, torch
from mmengine.dataset import DefaultSampler
from torch.utils.data import DataLoader
from transmamba_mm.engine.seeded_batches import seed_batches

class Large(torch.utils.data.Dataset):
    def __len__(self):
        return 10**6
    def __getitem__(self, index):
        return bytes(100_000)

data = Large()
options = dict(batch_size=4, num_workers=2, prefetch_factor=50, collate_fn=list)
loader = DataLoader(data, sampler=DefaultSampler(data, shuffle=False), **options)
seed_batches(loader)
batches = iter(loader)
next(batches)
print(*[worker.pid for worker in batches._workers], flush=True)
time.sleep(600)
"""


def runs(pid: int) -> bool:
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_a_killed_training(number):
    training = subprocess.Popen([sys.executable, '-c', TRAINING], stdout=subprocess.PIPE, text=True)
    workers = [int(text) for text in training.stdout.readline().split()]
    assert len(workers) == 2 and all(map(runs, workers))
    time.sleep(2)  # their pipes are full
    os.kill(training.pid, number)
    training.wait()
    deadline = time.monotonic() + 20
    while any(map(runs, workers)) and time.monotonic() < deadline:
        time.sleep(0.2)
    left = [pid for pid in workers if runs(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
