"""Run many small trainings side by side, with progress for whoever waits."""

import multiprocessing
import os
import time
from collections.abc import Sequence
from queue import Empty

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from transmamba_mm.errors import UserError
from transmamba_mm.study.training_job import TrainingJob, work

#: Where there are no bars (a file, a CI log), one line of progress in this time.
LOG_SECONDS = 15


def run_jobs(
    jobs: Sequence[TrainingJob], workers: int | None = None, console: Console | None = None
) -> dict[str, dict]:
    """Train every job that is not finished yet, in order, ``workers`` at a time.

    The workers are spawned, so that imports are paid once each and nothing is inherited. A line is
    printed for each training that ends; a terminal also sees bars. When it is interrupted, the same
    call goes on from there.

    Args:
        jobs (Sequence[TrainingJob]): A job comes after the one it needs.
        workers (int, optional): Defaults to one per core.
        console (Console, optional): Where to print.

    Returns:
        dict[str, dict]: Result of each job, by name.

    Raises:
        UserError: If a training fails; names it, its message and its log.
    """
    console = console or Console()
    results = {job.name: result for job in jobs if (result := job.result()) is not None}
    waiting = [job for job in jobs if job.name not in results]
    if results:
        console.print(f'{len(results)} of {len(jobs)} trainings were done before.')
    if not waiting:
        return results
    logs = {job.name: job.log_path for job in jobs}
    count = min(workers or os.cpu_count() or 1, len(waiting))
    with _Board(waiting, console) as board, _Workers(count) as pool:
        while len(results) < len(jobs):
            for job in [job for job in waiting if job.needs is None or job.needs in results]:
                waiting.remove(job)
                pool.submit(job)
            kind, name, value = pool.next_event()
            if kind == 'failed':
                raise UserError(f'Training {name} failed: {value}\nIts log: {logs[name]}')
            if kind == 'done':
                results[name] = value
            board.show(kind, name, value)
    return results


class _Workers:
    """Spawned processes that take jobs from one queue and send events to another."""

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context('spawn')
        self._inbox, self._events = context.Queue(), context.Queue()
        self._processes = [
            context.Process(target=work, args=(self._inbox, self._events)) for _ in range(count)
        ]

    def __enter__(self) -> '_Workers':
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, kind: type | None, *_) -> None:
        for process in self._processes:
            if kind is None:
                self._inbox.put(None)
            else:
                process.terminate()
        for process in self._processes:
            process.join()

    def submit(self, job: TrainingJob) -> None:
        """Queue a job for the next free worker."""
        self._inbox.put(job)

    def next_event(self) -> tuple:
        """Wait for an event: (kind, job name, value), kind one of start, step, done, failed."""
        while True:
            try:
                return self._events.get(timeout=1)
            except Empty:
                for process in self._processes:
                    if not process.is_alive():
                        raise UserError(
                            f'A training process ended with exit code {process.exitcode} (killed, '
                            'or out of memory?). Run the same command again to go on, perhaps '
                            'with fewer --jobs.'
                        ) from None


class _Board:
    """A line per finished training and, on a terminal, a bar per running one."""

    def __init__(self, jobs: Sequence[TrainingJob], console: Console) -> None:
        self._bars = Progress(
            TextColumn('{task.description:<28}'),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn('steps'),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._steps = {job.name: job.load().train_cfg.max_iters for job in jobs}
        self._taken = dict.fromkeys(self._steps, 0)
        self._rows: dict = {}
        self._finished = 0
        self._silent_until = time.monotonic() + LOG_SECONDS

    def __enter__(self) -> '_Board':
        self._bars.start()
        self._total = self._bars.add_task('', total=sum(self._steps.values()))
        self._update_total()
        return self

    def __exit__(self, *_) -> None:
        self._bars.stop()

    def show(self, kind: str, name: str, value) -> None:
        """Show one event of the workers."""
        if kind == 'start':
            self._rows[name] = self._bars.add_task(name, total=self._steps[name])
            return
        self._taken[name] = value if kind == 'step' else self._steps[name]
        self._bars.update(self._rows[name], completed=self._taken[name])
        if kind == 'done':
            self._finished += 1
            self._bars.remove_task(self._rows.pop(name))
            metrics = ', '.join(f'{key} {number:.2f}' for key, number in value['metrics'].items())
            self._bars.console.print(
                f'[{self._finished}/{len(self._steps)}] {name}: {metrics}, '
                f'{value["steps"]} steps in {value["seconds"]:.0f} s',
                markup=False,
                highlight=False,
            )
        self._update_total()

    def _update_total(self) -> None:
        taken, all_ = sum(self._taken.values()), sum(self._steps.values())
        done = f'{self._finished} of {len(self._steps)} trainings done'
        self._bars.update(self._total, completed=taken, description=done)
        if not self._bars.console.is_terminal and time.monotonic() > self._silent_until:
            self._silent_until = time.monotonic() + LOG_SECONDS
            self._bars.console.print(f'{done}, {taken} of {all_} steps', highlight=False)
