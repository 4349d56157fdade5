"""One training of a study, and its execution by a worker."""

import hashlib
import json
import os
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.utils import get_git_hash

from transmamba_mm import compat
from transmamba_mm.atomic_file import write_atomically
from transmamba_mm.errors import UserError
from transmamba_mm.launch.build_runner import build_runner
from transmamba_mm.launch.explain import explain
from transmamba_mm.launch.method import method_name
from transmamba_mm.launch.preflight import preflight
from transmamba_mm.launch.read_config import read_config
from transmamba_mm.launch.resumable import make_resumable
from transmamba_mm.launch.runtime import prepare_runtime
from transmamba_mm.launch.work_dir_lock import lock_work_dir

METRIC = 'accuracy/top1'
#: Of a training, over all its starts.
COSTS = ('seconds', 'cpu_seconds')


@dataclass(frozen=True)
class TrainingJob:
    """A config to train to its end, once.

    Attributes:
        name (str): Shown to the user; unique in a study.
        config (str): Path of the config.
        work_dir (str): Where its log, checkpoints and ``result.json`` go.
        steps (int): Its ``train_cfg.max_iters``.
        options (dict): Dotted keys to change in the config.
        method (str, optional): Another than the config's own.
        test (bool): Whether the test set is evaluated at the end.
        needs (str, optional): Name of the job that has to be finished before.
    """

    name: str
    config: str
    work_dir: str
    steps: int
    options: dict = field(default_factory=dict)
    method: str | None = None
    test: bool = True
    needs: str | None = None

    @property
    def kind(self) -> tuple[str, str | None]:
        """Jobs of one kind take equally long a step."""
        return Path(self.config).stem, self.method and method_name(self.method)

    def load(self) -> Config:
        """The config to run; it resumes an interrupted training."""
        cfg = read_config(self.config, self.options, self.method)
        cfg.work_dir = self.work_dir
        cfg.resume = True
        return cfg

    @property
    def result_path(self) -> Path:
        """The file that marks the job as done."""
        return Path(self.work_dir) / 'result.json'

    @property
    def log_path(self) -> Path:
        """Everything the training prints."""
        return Path(self.work_dir) / 'output.log'

    def result(self) -> dict | None:
        """Result of a finished training, None before.

        Raises:
            UserError: If ``work_dir`` holds a training of another config.
        """
        mark = Path(self.work_dir) / 'config.sha256'
        if mark.exists() and mark.read_text() != config_hash(self.load()):
            raise UserError(
                f'{self.work_dir} holds a training of another config than {self.config} is now: '
                'delete that folder or choose another --work-dir.'
            )
        return json.loads(self.result_path.read_text()) if self.result_path.exists() else None


def config_hash(cfg: Config) -> str:
    """A hash of a config, except where its files go and what its method is called."""
    content = {key: value for key, value in cfg.items() if key not in ('work_dir', 'method')}
    text = json.dumps(ConfigDict(content).to_dict(), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class RunRecorder(Hook):
    """Record the cost of a training and its validations; report steps to the parent process.

    All is kept in the message hub, and so in the checkpoints: a resumed training continues the
    counts.

    Attributes:
        record (dict): ``seconds`` and ``cpu_seconds``, validations included; ``validations``, the
            metrics by step.
    """

    priority = 'LOW'  # before the checkpoint is written

    def __init__(self, name: str, events, interval: int = 5) -> None:
        self.name = name
        self.events = events
        self.interval = interval
        self.record = {'seconds': 0.0, 'cpu_seconds': 0.0, 'validations': {}}

    def before_train(self, runner) -> None:
        """Restore the counts of a checkpoint."""
        self.record = dict(runner.message_hub.runtime_info.get('record', self.record))
        self.began = [now - self.record[name] for name, now in zip(COSTS, _clocks(), strict=True)]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Report the number of steps taken."""
        self._keep(runner)
        if (runner.iter + 1) % self.interval == 0:
            self.events.put(('step', self.name, runner.iter + 1))

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Keep the metrics."""
        values = {name: round(float(value), 4) for name, value in metrics.items()}
        self.record['validations'] = self.record['validations'] | {runner.iter: values}
        self._keep(runner)

    def _keep(self, runner) -> None:
        spent = [now - began for now, began in zip(_clocks(), self.began, strict=True)]
        self.record |= dict(zip(COSTS, spent, strict=True))
        runner.message_hub.update_info('record', self.record)


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def train(job: TrainingJob, events) -> dict:
    """Run ``job`` to its end and evaluate its last weights; the result also goes to its folder.

    Returns:
        dict: ``steps``; ``images`` (samples seen); ``seconds`` and ``cpu_seconds`` of the training
            with its
        validations; ``val_curve`` (steps and values of the metric that the config chooses by);
        ``val`` and ``test`` (all metrics of the last weights, None if there was no test);
        ``config_hash``, ``commit``, ``device``.
    """
    cfg = job.load()
    lock = lock_work_dir(cfg)
    write_atomically(Path(job.work_dir, 'config.sha256'), config_hash(cfg).encode())
    preflight(cfg, ('train', 'val', 'test') if job.test else ('train', 'val'))
    prepare_runtime(cfg)
    make_resumable(cfg)
    runner = build_runner(cfg)
    recorder = RunRecorder(job.name, events)
    runner.register_hook(recorder)
    runner.train()
    record = recorder.record
    validations, metric = record['validations'], metric_of(cfg)
    test = None
    if job.test:
        test = {name: round(float(value), 4) for name, value in runner.test_loop.run().items()}
    result = {
        'steps': runner.iter,
        'images': runner.iter * cfg.train_dataloader.batch_size,
        **{name: round(record[name], 1) for name in COSTS},
        'val_curve': [[step, values[metric]] for step, values in validations.items()],
        'val': validations[runner.iter],
        'test': test,
        'config_hash': config_hash(cfg),
        'commit': get_git_hash(digits=10),
        'device': get_device(),
    }
    write_atomically(job.result_path, json.dumps(result, indent=2).encode())
    if lock:
        lock.close()
    return result


def metric_of(cfg: Config) -> str:
    """The metric of a study: the one of the config's ``save_best``, if any."""
    best = cfg.default_hooks.checkpoint.get('save_best')
    return METRIC if best in (None, 'auto') else best


def work(inbox, events, threads: int | None) -> None:
    """Train jobs from ``inbox`` until None comes; a worker process runs this.

    A study has one thread each: several small trainings side by side make better use of the cores
    than one training that splits its small matrices over all of them.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    compat.load_checkpoints_safely()
    Thread(target=_die_with_parent, daemon=True).start()
    for job in iter(inbox.get, None):
        Path(job.work_dir).mkdir(parents=True, exist_ok=True)
        log = os.open(job.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):  # the terminal belongs to the parent
            os.dup2(log, stream)
        os.close(log)
        events.put(('start', job.name, os.getpid()))
        try:
            events.put(('done', job.name, train(job, events)))
        except Exception as error:
            traceback.print_exc()
            events.put(('failed', job.name, explain(error) or f'{type(error).__name__}: {error}'))


def _die_with_parent() -> None:
    parent_process().join()
    os._exit(1)
