"""Report how many videos and images were skipped."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from transmamba_mm.errors import UserError
from transmamba_mm.registry import HOOKS

SHOWN = 3  # faults of a validation's files that the message has


@HOOKS.register_module()
class CorruptSampleHook(Hook):
    """Logs how often a video or image could not be read: after each epoch, and in all at the end.

    ``DecodeVideo`` and ``LoadImage`` count in their ``skipped``, in every worker; here the counts
    of all processes of a distributed run are added up. An iteration-based training
    is one epoch to mmengine: it reports before each validation and at the end.

    An unreadable validation file would stop the training only when it is decoded. So the
    validation files are checked before training starts, without opening them, which would take as
    long as decoding.

    Raises:
        UserError: A file of the validation is missing or empty, or an mp4 that is not whole, and
            not every metric has ``allow_missing``.
    """

    def __init__(self) -> None:
        self._reported: Counter[tuple[str, str]] = Counter()
        self._trains = False

    def before_train(self, runner: Runner) -> None:
        """Note that there is training data; the runner's property would load it in a test."""
        self._trains = True
        if runner.val_loop is not None:
            metrics = runner.val_evaluator.metrics
            if not all(getattr(metric, 'allow_missing', False) for metric in metrics):
                _refuse_gaps(runner.val_dataloader.dataset)

    def after_train_epoch(self, runner: Runner) -> None:
        """Report what this epoch skipped."""
        self._report(runner, 'train', runner.train_dataloader)

    def before_val_epoch(self, runner: Runner) -> None:
        """Report what training skipped since the last report."""
        if self._trains:
            self._report(runner, 'train', runner.train_dataloader)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Report what validation skipped."""
        self._report(runner, 'val', runner.val_dataloader)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Report what the test skipped."""
        self._report(runner, 'test', runner.test_dataloader)

    def after_train(self, runner: Runner) -> None:
        """Report what the whole training skipped."""
        for counts in _by_kind(runner.train_dataloader):
            if total := _total(counts):
                runner.logger.warning(
                    f'Skipped {total} unreadable {counts[0].kind} of the train data in total. '
                    f'{counts[0].advice}'
                )

    def _report(self, runner: Runner, mode: str, loader: DataLoader) -> None:
        for counts in _by_kind(loader):
            kind, total = counts[0].kind, _total(counts)
            new = total - self._reported[mode, kind]
            self._reported[mode, kind] = total
            if new:
                runner.logger.warning(
                    f'Skipped {new} unreadable {kind} of the {mode} data since the last report '
                    f'({total} in total).'
                )


def _refuse_gaps(dataset: object) -> None:
    """UserError if files of a validation cannot be read."""
    faults: dict[str, str] = {}
    for part in _leaves(dataset):
        steps = getattr(getattr(part, 'pipeline', None), 'transforms', ())
        quick_checks = [step.quick_check for step in steps if hasattr(step, 'quick_check')]
        items = map(part.get_data_info, range(len(part))) if quick_checks else ()
        faults.update(quick_check(item) for item in items for quick_check in quick_checks)
    found = [fault for fault in faults.values() if fault]
    if found:
        raise UserError(
            f'{len(found)} of the {len(faults)} files that the validation needs cannot be read, '
            f'and it would stop the training. The first: {" ".join(found[:SHOWN])} Fix them '
            '(python tools/datasets/check_videos.py DIR finds videos), take them out of the '
            'annotations, or let retrieval do without them: val_evaluator.allow_missing=True.'
        )


def _by_kind(loader: DataLoader) -> list[list[Any]]:
    """Each ``SkipCounter`` of a loader's pipelines, those of one kind together."""
    kinds: dict[str, list[Any]] = {}
    for step in _steps(loader.dataset):
        if hasattr(step, 'skipped'):
            kinds.setdefault(step.skipped.kind, []).append(step.skipped)
    return list(kinds.values())


def _total(counts: list[Any]) -> int:
    """Add up counters over all processes."""
    total = torch.tensor(sum(count.total for count in counts))
    all_reduce(total)
    return int(total)


def _steps(dataset: object) -> Iterator[object]:
    """All steps of the pipelines of a data set and of those that it wraps."""
    for part in _leaves(dataset):
        yield from getattr(getattr(part, 'pipeline', None), 'transforms', ())


def _leaves(dataset: object) -> Iterator[Any]:
    """A data set, or those that it wraps; none of what only stands in for one."""
    if not isinstance(dataset, Dataset):
        return
    inner = getattr(dataset, 'dataset', None)
    wrapped = [inner] if inner is not None else getattr(dataset, 'datasets', ())
    if not wrapped:
        yield dataset
    for part in wrapped:
        yield from _leaves(part)
