"""Compare ways of training one student: methods x fractions of the data x seeds, equal steps."""

import inspect
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from mmengine.config import Config
from rich.console import Console

from transmamba_mm.errors import UserError
from transmamba_mm.launch.method import method_name
from transmamba_mm.launch.read_config import read_config
from transmamba_mm.registry import DATASETS
from transmamba_mm.study.job_pool import run_jobs
from transmamba_mm.study.training_job import TrainingJob

METRIC = 'accuracy/top1'


@dataclass(frozen=True)
class Record:
    """One finished training of the student.

    ``accuracy`` is what the study compares, in percent; ``metrics`` is all that was measured.
    """

    method: str
    fraction: float
    seed: int
    accuracy: float
    steps: int
    seconds: float
    work_dir: str
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class DataEfficiencyStudy:
    """A grid of trainings that differ in method, amount of data and seed, and in nothing else.

    A method is what ``--method`` of the tools takes. The teacher of ``configs/transmamba/S_T_D.py``
    (student, teacher, data) is ``configs/teachers/T_D.py``, trained first unless it is finished.

    A seed decides the initialization, the order of the data and which part of it a fraction keeps;
    all methods share it. Each training is an ordinary runner in its own ``work_dir``; finished ones
    are not run again and interrupted ones are resumed.

    Attributes:
        config (str): The transfer's config.
        fractions (Sequence[float]): Shares of the training data, in (0, 1].
        seeds (Sequence[int]): At least two for a spread.
        work_dir (str): Where every training of the student and ``study.json`` go.
        methods (Sequence[str]): Methods to compare.
        options (dict): Dotted keys to change, in each config of the student that has them.
        teacher_options (dict): The same for the teacher's config.
    """

    config: str
    fractions: Sequence[float]
    seeds: Sequence[int]
    work_dir: str
    methods: Sequence[str] = ('scratch', 'logits', 'wsab')
    options: dict = field(default_factory=dict)
    teacher_options: dict = field(default_factory=dict)

    def run(self, workers: int | None = None, console: Console | None = None) -> list[Record]:
        """Train what is missing; returns all records, also written to ``study.json``.

        Raises:
            UserError: If a config is missing or does not fit the study, or a training fails.
        """
        configs = {method: self.load(method) for method in self.methods}
        self.check(configs)
        teachers = self.teacher_jobs(configs)
        teacher = teachers[-1] if teachers else None
        trials = {
            (method, fraction, seed): self.trial(method, fraction, seed, configs[method], teacher)
            for fraction in sorted(self.fractions, reverse=True)
            for method in self.methods
            for seed in self.seeds
        }
        # What needs no teacher comes first: it fills the cores while the teacher trains. Of the
        # rest the last method, which costs most, goes before the others: short tails are cheap.
        methods = list(self.methods)
        order = sorted(
            trials, key=lambda cell: (trials[cell].needs is not None, -methods.index(cell[0]))
        )
        jobs = [trials[cell] for cell in order]
        results = run_jobs([*teachers, *jobs], workers, console)
        metric = metric_of(configs[self.methods[0]])
        records = [
            Record(
                method_name(method),
                fraction,
                seed,
                accuracy=results[job.name]['metrics'][metric],
                steps=results[job.name]['steps'],
                seconds=results[job.name]['seconds'],
                work_dir=job.work_dir,
                metrics=results[job.name]['metrics'],
            )
            for (method, fraction, seed), job in trials.items()
        ]
        text = json.dumps([asdict(record) for record in records], indent=2)
        Path(self.work_dir, 'study.json').write_text(text)
        return records

    def teacher_metrics(self) -> dict[str, float]:
        """What the teacher reached; empty if it was not trained here."""
        configs = {method: self.load(method) for method in self.methods}
        jobs = self.teacher_jobs(configs)
        result = jobs[-1].result() if jobs else None
        return {} if result is None else result['metrics']

    def teacher_config(self) -> Path:
        """Path of the config that trains the teacher.

        Raises:
            UserError: There is none by the name of the study's config.
        """
        path = Path(self.config)
        _, _, teacher = path.stem.partition('_')
        found = path.parent.parent / 'teachers' / f'{teacher}.py'
        if not found.is_file():
            raise UserError(
                f'There is no config {found} for the teacher of {path}, which has to be named '
                '<student>_<teacher>_<data>.py: write it, or name a file in '
                'model.teacher.checkpoint.'
            )
        return found

    def load(self, method: str) -> Config:
        """The config of a method with those options that it has the keys of."""
        cfg = read_config(self.config, method=method)
        return read_config(self.config, self.options_of(cfg), method)

    def options_of(self, cfg: Config) -> dict:
        """The options whose keys a config has."""
        return {key: value for key, value in self.options.items() if has_key(cfg, key)}

    def check(self, configs: dict[str, Config]) -> None:
        """Raise UserError unless the trainings can be compared."""
        for key in self.options:
            if not any(has_key(cfg, key) for cfg in configs.values()):
                raise UserError(f'No config of this study has {key!r} (--cfg-options).')
        steps = {method: cfg.train_cfg.get('max_iters') for method, cfg in configs.items()}
        if None in steps.values() or len(set(steps.values())) > 1:
            raise UserError(
                f'A study compares at an equal number of steps, but max_iters is {steps}: use one '
                'iteration-based schedule for all.'
            )
        for fraction in self.fractions:
            if not 0 < fraction <= 1:
                raise UserError(f'A fraction of the data is in (0, 1], not {fraction}.')
        dataset = DATASETS.get(configs[self.methods[0]].train_dataloader.dataset.type)
        makers = [kind.__init__ for kind in dataset.__mro__]  # some hand arguments on as **kwargs
        if not any('fraction' in inspect.signature(maker).parameters for maker in makers):
            raise UserError(f'{dataset.__name__} cannot be thinned out: it takes no fraction.')

    def teacher_jobs(self, configs: dict[str, Config]) -> list[TrainingJob]:
        """The teacher's training, if some method has a teacher that lives in a work_dir.

        Before it comes the training of the vision encoder that its config names, if any.
        """
        places = {
            cfg.model.teacher.checkpoint for cfg in configs.values() if 'teacher' in cfg.model
        }
        if not places or Path(place := places.pop()).suffix:
            return []  # none, or a file or URL that somebody else has to provide
        config = self.teacher_config()
        encoder = Config.fromfile(config).model.get('vision_checkpoint')
        if encoder is None or Path(encoder).suffix:
            return [TrainingJob('teacher', str(config), place, self.teacher_options)]
        first = TrainingJob(
            'vision encoder', str(config.with_name(f'{Path(encoder).name}.py')), encoder
        )
        return [
            first,
            TrainingJob('teacher', str(config), place, self.teacher_options, needs=first.name),
        ]

    def trial(
        self, method: str, fraction: float, seed: int, cfg: Config, teacher: TrainingJob | None
    ) -> TrainingJob:
        """One training of the student."""
        name = f'{method_name(method)}/{fraction * 100:g}%/seed{seed}'
        return TrainingJob(
            name=name,
            config=self.config,
            method=method,
            work_dir=str(Path(self.work_dir, name.replace('%', ''))),
            options={
                **self.options_of(cfg),
                'train_dataloader.dataset.fraction': fraction,
                'train_dataloader.dataset.seed': seed,
                'randomness.seed': seed,
            },
            needs=teacher.name if teacher and 'teacher' in cfg.model else None,
        )


def metric_of(cfg: Config) -> str:
    """What a study compares: the metric that chooses the config's best checkpoint, if it does."""
    best = cfg.default_hooks.checkpoint.get('save_best')
    return METRIC if best in (None, 'auto') else best


def with_metric(records: Sequence[Record], metric: str) -> list[Record]:
    """The records with another of their metrics for accuracy.

    Raises:
        UserError: A metric that was not measured.
    """
    known = sorted(set.intersection(*(set(record.metrics) for record in records)))
    if metric not in known:
        raise UserError(f'{metric!r} was not measured; choose from {", ".join(known)}.')
    return [replace(record, accuracy=record.metrics[metric]) for record in records]


def has_key(cfg: Config, dotted: str) -> bool:
    """Whether ``dotted`` (``a.b.0.c``) leads somewhere in ``cfg``."""
    node = cfg
    for name in dotted.split('.'):
        if isinstance(node, list) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        elif hasattr(node, 'keys') and name in node:
            node = node[name]
        else:
            return False
    return True
