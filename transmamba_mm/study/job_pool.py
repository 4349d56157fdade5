"""Run many small trainings in parallel, with progress bars."""

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from transmamba_mm.errors import UserError
from transmamba_mm.study.training_job import TrainingJob, work

#: Where there are no bars (a file, a CI log), one line of progress in this time.
LOG_SECONDS = 60
#: Seconds per step, by kind of job.
Pace = Mapping[tuple[str, str | None], float]


def run_jobs(
    jobs: Sequence[TrainingJob],
    keep: Callable[[str, dict], None],
    workers: int | None = None,
    console: Console | None = None,
    pace: Pace | None = None,
    threads: int | None = 1,
) -> None:
    """Train every job that is not finished yet, in order, ``workers`` at a time.

    The workers are forks of a server that has imported the package and nothing else (spawned where
    there is none, as on Windows): imports are paid once and nothing is inherited. A line is
    printed for each training that ends; a terminal also shows bars. After an interrupt, the same
    call continues from there. A failure only stops the trainings that depend on it.

    Args:
        jobs (Sequence[TrainingJob]): A job comes after the one it needs.
        keep (Callable): Called with the name and the result of each job that is finished.
        workers (int, optional): Defaults to one per core.
        console (Console, optional): Where to print.
        pace (Pace, optional): Known from earlier runs, for the remaining time.
        threads (int, optional): Of each training; None leaves it to torch.

    Raises:
        UserError: Trainings failed; names them, their messages and logs.
    """
    console = console or Console()
    done = {job.name: result for job in jobs if (result := job.result()) is not None}
    for name, result in done.items():
        keep(name, result)
    waiting = [job for job in jobs if job.name not in done]
    if done:
        console.print(f'{len(done)} of {len(jobs)} trainings were done before.')
    if not waiting:
        return
    logs = {job.name: job.log_path for job in jobs}
    failed: dict[str, str] = {}
    running = 0
    count = min(workers or os.cpu_count() or 1, len(waiting))
    with _Board(waiting, count, console, pace or {}) as board, _Workers(count, threads) as pool:
        while True:
            for job in [job for job in waiting if job.needs is None or job.needs in done]:
                waiting.remove(job)
                pool.submit(job)
                running += 1
            if not running:
                break
            kind, name, value = pool.next_event()
            running -= kind in ('done', 'failed')
            if kind == 'failed':
                failed[name] = f'Training {name} failed: {value}\nIts log: {logs[name]}'
            if kind == 'done':
                done[name] = value
                keep(name, value)
            board.show(kind, name, value)
    if failed:
        skipped = f'\n{len(waiting)} trainings need them and were skipped.' if waiting else ''
        raise UserError('\n'.join(failed.values()) + skipped)


class _Workers:
    """Processes that take jobs from one queue and send events to another."""

    def __init__(self, count: int, threads: int | None) -> None:
        served = 'forkserver' in multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context('forkserver' if served else 'spawn')
        context.set_forkserver_preload([work.__module__])
        self._inbox, self._events = context.Queue(), context.Queue()
        self._processes = [
            context.Process(target=work, args=(self._inbox, self._events, threads))
            for _ in range(count)
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
                            'or out of memory?). Run the same command again to continue, perhaps '
                            'with fewer --jobs.'
                        ) from None


class _Board:
    """A line per finished training, the remaining time and, on a terminal, a bar per job."""

    def __init__(
        self, jobs: Sequence[TrainingJob], workers: int, console: Console, pace: Pace
    ) -> None:
        self._bars = Progress(
            TextColumn('{task.description:<28}'),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn('steps'),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._steps = {job.name: job.steps for job in jobs}
        self._taken = dict.fromkeys(self._steps, 0)
        self._first: dict[str, int] = {}  # where this call has found a job
        usual = sum(pace.values()) / len(pace) if pace else 1.0
        self._pace = {job.name: pace.get(job.kind, usual) for job in jobs}
        self._rows: dict = {}
        self._finished = 0
        self._began = time.monotonic()
        self._silent_until = self._began + LOG_SECONDS

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
        if kind == 'step':
            self._first.setdefault(name, value)
        self._taken[name] = value if kind == 'step' else self._steps[name]
        self._bars.update(self._rows[name], completed=self._taken[name])
        if kind in ('done', 'failed'):
            self._finished += 1
            self._bars.remove_task(self._rows.pop(name))
            self._print(f'[{self._finished}/{len(self._steps)}] {name}: {_outcome(kind, value)}')
        self._update_total()

    def _seconds_left(self) -> float | None:
        """By the paces of earlier runs, scaled to what this call has measured so far."""
        made = sum(
            (self._taken[name] - first) * self._pace[name] for name, first in self._first.items()
        )
        left = sum(
            (steps - self._taken[name]) * self._pace[name] for name, steps in self._steps.items()
        )
        return (time.monotonic() - self._began) / made * left if made else None

    def _update_total(self) -> None:
        taken, all_ = sum(self._taken.values()), sum(self._steps.values())
        done = f'{self._finished} of {len(self._steps)} trainings done'
        self._bars.update(self._total, completed=taken, description=done)
        if not self._bars.console.is_terminal and time.monotonic() > self._silent_until:
            self._silent_until = time.monotonic() + LOG_SECONDS
            left = self._seconds_left()
            about = f', about {left / 60:.0f} minutes left' if left is not None else ''
            self._print(f'{done}, {taken} of {all_} steps{about}')

    def _print(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)


def _outcome(kind: str, value) -> str:
    if kind == 'failed':
        return f'failed: {value}'
    metrics = value['test'] or value['val']
    which = 'test' if value['test'] else 'val'
    numbers = ', '.join(f'{key} {number:.2f}' for key, number in metrics.items())
    return f'{which} {numbers}, {value["steps"]} steps in {value["seconds"]:.0f} s'
