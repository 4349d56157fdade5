"""Say how many videos were left out."""

from collections.abc import Iterator

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from transmamba_mm.registry import HOOKS


@HOOKS.register_module()
class BadVideoHook(Hook):
    """Logs how often a video could not be read: after each epoch, and in all at the end.

    ``DecodeVideo`` counts in its ``bad_videos``, in every worker; here the counts of all processes
    of a distributed run are added up. A training that counts iterations is one epoch to mmengine:
    it is told before each validation and at the end.
    """

    def __init__(self) -> None:
        self._told = {'train': 0, 'val': 0, 'test': 0}
        self._trains = False

    def before_train(self, runner: Runner) -> None:
        """Know that there is train data: asking a runner for it would load it for a test, too."""
        self._trains = True

    def after_train_epoch(self, runner: Runner) -> None:
        """Tell what this epoch left out."""
        self._tell(runner, 'train', runner.train_dataloader)

    def before_val_epoch(self, runner: Runner) -> None:
        """Tell what training left out since the last time."""
        if self._trains:
            self._tell(runner, 'train', runner.train_dataloader)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Tell what validation left out."""
        self._tell(runner, 'val', runner.val_dataloader)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Tell what the test left out."""
        self._tell(runner, 'test', runner.test_dataloader)

    def after_train(self, runner: Runner) -> None:
        """Tell what the whole training left out."""
        total = _count(runner.train_dataloader)
        if total:
            runner.logger.warning(
                f'In all, {total} times a video of the train data could not be read. Find them: '
                'python tools/datasets/check_videos.py DIR'
            )

    def _tell(self, runner: Runner, mode: str, loader: DataLoader) -> None:
        total = _count(loader)
        new = total - self._told[mode]
        self._told[mode] = total
        if new:
            runner.logger.warning(
                f'{new} times a video of the {mode} data could not be read since the last count '
                f'({total} in all).'
            )


def _count(loader: DataLoader) -> int:
    """Add up the counters of a loader's pipeline over all processes."""
    counts = [
        step.bad_videos.total for step in _steps(loader.dataset) if hasattr(step, 'bad_videos')
    ]
    total = torch.tensor(sum(counts))
    all_reduce(total)
    return int(total)


def _steps(dataset: object) -> Iterator[object]:
    """All steps of the pipelines of a data set and of those that it wraps."""
    yield from getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    inner = getattr(dataset, 'dataset', None)
    for wrapped in [inner] if inner is not None else getattr(dataset, 'datasets', ()):
        yield from _steps(wrapped)
