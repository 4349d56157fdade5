"""Run each training of a study once, and append a JSON line for each finished one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console

from transmamba_mm.checks import check, check_keys, one_of
from transmamba_mm.launch.method import method_name
from transmamba_mm.launch.read_config import read_config
from transmamba_mm.study.design import Block, Regime, Run, Tuned, from_dict, key_of
from transmamba_mm.study.job_pool import run_jobs
from transmamba_mm.study.lines import append_line, read_lines, seconds_per_step
from transmamba_mm.study.study_configs import check_configs, has_key
from transmamba_mm.study.teacher_jobs import plan_teacher_jobs, subset_of, teacher_dir
from transmamba_mm.study.training_job import METRIC, TrainingJob


@dataclass(frozen=True)
class Study:
    """Blocks of runs that differ only in the settings of their block.

    Each run is an ordinary training in a folder of its own. A finished one is a line of ``results``
    and is never repeated, whichever blocks it belongs to; an interrupted one is resumed. The
    teacher of ``configs/transmamba/S_T_D.py`` (student, teacher, data) is trained first, by
    ``configs/teachers/T_D.py``.

    Attributes:
        blocks (Mapping[str, Block]): By name.
        results (str): The file of JSON lines.
        work_dir (str): Where the students are trained.
        regimes (Mapping[str, Regime]): How the teacher is trained, by the regime's name.
        tuned (Sequence[Tuned]): Options of all runs they fit; a trial stands above them.
        options (Mapping): Dotted keys to change, in each config of the students that has them.
        teacher_options (Mapping): The same for the teacher's config.
        metric (str): What tables and figures compare, in percent.
        figures (Mapping[str, str]): Path of a PNG -> what it shows, 'accuracy BLOCK' or
            'curves BLOCK'.
    """

    blocks: Mapping[str, Block]
    results: str
    work_dir: str
    regimes: Mapping[str, Regime] = field(default_factory=lambda: {'A': Regime()})
    tuned: Sequence[Tuned] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    teacher_options: Mapping[str, Any] = field(default_factory=dict)
    metric: str = METRIC
    figures: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, block in self.blocks.items():
            owner = f'block {name!r}'
            if block.regime:
                check(owner, 'regime', block.regime, one_of(*self.regimes))
            if block.reference:
                check(owner, 'reference', block.reference, one_of(*self.blocks))
        self._check_tuned()

    def _check_tuned(self) -> None:
        blocks = self.blocks.values()
        known = {
            'config': {Path(config).stem for block in blocks for config in block.configs},
            'method': {method_name(method) for block in blocks for method in block.methods},
            'regime': {None, *self.regimes},
        }
        for entry in self.tuned:
            check_keys('where of tuned', entry.where, [*known, 'fraction'])
            for name in known.keys() & entry.where.keys():
                check('where of tuned', name, entry.where[name], one_of(*known[name]))

    @classmethod
    def from_file(cls, path: str | Path) -> 'Study':
        """Read a file of ``configs/studies``: its names are the attributes of a study.

        Names with an underscore in front are the file's own.

        Raises:
            UserError: Unknown or missing keys, at any level.
        """
        values = Config.fromfile(path).to_dict()
        values = {key: value for key, value in values.items() if not key.startswith('_')}
        check_keys(str(path), values, {entry.name for entry in fields(cls)} - {'work_dir'})
        parts = {'blocks': Block, 'regimes': Regime}
        for name, kind in parts.items():
            if name in values:
                values[name] = {
                    key: from_dict(kind, f'{name}.{key} of {path}', entry)
                    for key, entry in values[name].items()
                }
        if 'tuned' in values:
            values['tuned'] = [from_dict(Tuned, f'tuned of {path}', e) for e in values['tuned']]
        values['work_dir'] = f'work_dirs/studies/{Path(path).stem}'
        return from_dict(cls, str(path), values)

    def block(self, name: str) -> Block:
        """A block by its name; the UserError for an unknown one lists all."""
        check('the study', 'block', name, one_of(*self.blocks))
        return self.blocks[name]

    def runs(self, blocks: Iterable[str]) -> list[Run]:
        """The runs of some blocks in their order, each once.

        Raises:
            UserError: Unknown blocks.
        """
        found: dict[str, Run] = {}
        for name in blocks:
            block = self.block(name)
            regime = block.regime or next(iter(self.regimes))
            for seed, fraction, config, method, trial in block.cells():
                has_teacher = 'teacher' in self.config(config, method).model
                run = Run(config, method, fraction, seed, regime if has_teacher else None)
                run = replace(run, options=self._tuned(run) | trial)
                run = replace(run, test=block.test)
                if run.key not in found or block.test:
                    found[run.key] = run
        return list(found.values())

    def _tuned(self, run: Run) -> dict[str, Any]:
        options: dict[str, Any] = {}
        for entry in self.tuned:
            if entry.fits(run):
                options |= entry.options
        return options

    def run(
        self, blocks: Iterable[str], workers: int | None = None, console: Console | None = None
    ) -> list[dict]:
        """Train the missing runs of some blocks; returns the lines of all of them, in order.

        Raises:
            UserError: A config is missing or does not fit the study, or trainings failed; the
                others are finished before.
        """
        runs = self.runs(blocks)
        self.check(runs)
        done = self.all_lines()
        missing = [run for run in runs if run.key not in done]
        jobs: dict[str, TrainingJob] = {}
        lines: dict[str, dict] = {}
        for run in missing:
            needs = None
            for job, line in self.teacher_jobs(run):
                jobs.setdefault(job.name, job)
                lines[job.name] = line
                needs = job.name
            job = self.job(run, needs)
            jobs[job.name], lines[job.name] = job, run.line

        def keep(name: str, result: dict) -> None:
            line = lines[name] | result
            if key_of(line) not in done:
                append_line(self.results, line)
                done[key_of(line)] = line

        if runs and not missing:
            (console or Console()).print(f'{len(runs)} of {len(runs)} trainings were done before.')
        run_jobs(list(jobs.values()), keep, workers, console, seconds_per_step(done.values()))
        return [done[run.key] for run in runs]

    def all_lines(self) -> dict[str, dict]:
        """All finished runs, teachers included, by key."""
        return {key_of(line): line for line in read_lines(self.results)}

    def lines(self, block: str) -> list[dict]:
        """The finished runs of a block, in its order."""
        done = self.all_lines()
        return [done[run.key] for run in self.runs([block]) if run.key in done]

    def config(self, config: str, method: str) -> Config:
        """The config of a transfer by a method, with those options that it has the keys of."""
        if (config, method) not in self._configs:
            cfg = read_config(config, method=method)
            found = {key: value for key, value in self.options.items() if has_key(cfg, key)}
            self._configs[config, method] = read_config(config, found, method)
        return self._configs[config, method]

    @cached_property
    def _configs(self) -> dict[tuple[str, str], Config]:
        return {}

    def check(self, runs: Sequence[Run]) -> None:
        """Raise UserError unless the runs can be made."""
        configs = {(run.config, run.method): self.config(run.config, run.method) for run in runs}
        check_configs(configs, self.options)

    def job(self, run: Run, needs: str | None) -> TrainingJob:
        """The training of a run."""
        cfg = self.config(run.config, run.method)
        subset = subset_of(run)
        options = {key: value for key, value in self.options.items() if has_key(cfg, key)}
        options |= {**subset, **run.options, 'randomness.seed': run.seed}
        if run.regime and self.regimes[run.regime].own_data:
            options['model.teacher.checkpoint'] = self._teacher_dir(run)
        return TrainingJob(
            name=name_of(run),
            config=run.config,
            method=run.method,
            work_dir=str(Path(self.work_dir, name_of(run).replace('%', ''))),
            options=options,
            steps=options.get('train_cfg.max_iters', cfg.train_cfg.max_iters),
            test=run.test,
            needs=needs,
        )

    def teacher_jobs(self, run: Run) -> list[tuple[TrainingJob, dict]]:
        """The trainings of the teacher of a run, each with its line, in order.

        There is none for a run without a teacher, or with one from a file or URL.
        """
        if run.regime is None:
            return []
        regime = self.regimes[run.regime]
        return plan_teacher_jobs(run, self._teacher_dir(run), regime, self.teacher_options)

    def _teacher_dir(self, run: Run) -> str:
        """Work_dir of the teacher of a run; a file if the user provides it."""
        place = self.config(run.config, run.method).model.teacher.checkpoint
        return teacher_dir(place, run, self.regimes[run.regime])


def name_of(run: Run) -> str:
    """A name for the log and a folder: config, method, share of the data, seed, regime, options."""
    parts = [Path(run.config).stem, method_name(run.method), f'{run.fraction * 100:g}%']
    parts.append(f'seed{run.seed}')
    if run.regime:
        parts[-1] += f'-{run.regime}'
    if run.options:
        values = (f'{key.rpartition(".")[2]}={run.options[key]}' for key in sorted(run.options))
        parts.append(','.join(values).replace('/', '_'))
    return '/'.join(parts)
