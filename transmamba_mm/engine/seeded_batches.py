"""Batches whose augmentation depends only on their position in the training.

The random numbers of a pipeline are drawn wherever the batch is made: in a worker that has made an
unknown number of batches ahead, or in the process of the model. Saving the states of workers would
mean to stop them all between two batches. Seeding each batch by (seed, rank, epoch, position) needs
no state at all: a training resumed in the middle of an epoch makes the same batches, with any
number of workers.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

from transmamba_mm.engine.stop_signals import outlive_a_stop
from transmamba_mm.random_states import seeded


def seed_batches(loader: DataLoader) -> DataLoader:
    """Let the position of each batch of ``loader`` seed what its pipeline draws.

    Samplers without a seed and data sets without indices stay as they are, and so does what is no
    DataLoader, as the list of batches by which mmpretrain's ``vis_scheduler`` draws a schedule.
    """
    sampler = getattr(getattr(loader, 'batch_sampler', None), 'sampler', None)
    known = hasattr(sampler, 'seed') and not isinstance(loader.dataset, IterableDataset)
    if not known or isinstance(sampler, SeededSampler):
        return loader
    kind = SkippableSampler if isinstance(sampler, InfiniteSampler) else SeededSampler
    loader.batch_sampler.sampler = kind(sampler)
    # A DataLoader refuses to have these replaced once it is made.
    vars(loader)['dataset'] = SeededDataset(loader.dataset)
    if loader.sampler is sampler:
        vars(loader)['sampler'] = loader.batch_sampler.sampler
    loader.worker_init_fn = partial(_start_worker, loader.worker_init_fn)
    # Else each start of an iterator would take a number from the stream that the model draws from.
    loader.generator = torch.Generator().manual_seed(0)
    return loader


def _start_worker(further: Callable[[int], None] | None, worker: int) -> None:
    outlive_a_stop()
    if further is not None:
        further(worker)


class SeededIndex(int):
    """The index of a sample that carries its place in the training."""

    key: tuple[int, ...] = ()


class SeededSampler(Sampler):
    """The indices of another sampler, each with the key (seed, rank, epoch, position)."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self._rank = get_rank()
        self._start = 0

    def start_at(self, position: int) -> None:
        """Begin the next iteration, and only that one, at this sample."""
        self._start = position

    def __iter__(self) -> Iterator[SeededIndex]:
        start, self._start = self._start, 0
        place = (self.seed, self._rank, getattr(self.sampler, 'epoch', 0))
        for position, index in enumerate(islice(iter(self.sampler), start, None), start):
            index = SeededIndex(index)
            index.key = (*place, position)
            yield index

    def __len__(self) -> int:
        return len(self.sampler)

    @property
    def seed(self) -> int:
        """The seed of the other sampler."""
        return self.sampler.seed

    @seed.setter
    def seed(self, seed: int) -> None:
        self.sampler.seed = seed

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or name == 'sampler':
            raise AttributeError(name)
        return getattr(self.sampler, name)


class SkippableSampler(SeededSampler):
    """An endless sampler: mmengine's loop skips the batches trained before."""

    skip = SeededSampler.start_at


class SeededDataset(Dataset):
    """Wrap a data set so that each batch is made under the seed of its first sample."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        with seeded(indices[0].key):
            if hasattr(self.dataset, '__getitems__'):
                return self.dataset.__getitems__(indices)
            return [self.dataset[index] for index in indices]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or name == 'dataset':
            raise AttributeError(name)
        return getattr(self.dataset, name)
