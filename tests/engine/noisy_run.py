"""A tiny training whose data, model and batches are random in every way."""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from tests.engine.tiny_run import Samples, TinyModel
from transmamba_mm.compat import load_checkpoints_safely
from transmamba_mm.errors import UserError


class NoisySamples(Samples):
    """Augmented by all three generators."""

    def __getitem__(self, index: int) -> dict:
        noise = random.gauss(0, 1) + np.random.randn(3) + torch.randn(3).numpy()
        with torch.random.fork_rng():
            item = super().__getitem__(index)
        return {**item, 'inputs': item['inputs'] + torch.from_numpy(noise).float()}


class NoisyModel(TinyModel):
    """With dropout, a mix of inputs by numpy, and a random sign by Python."""

    def __init__(self) -> None:
        super().__init__()
        self.body.append(nn.Dropout(0.2))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        inputs = torch.stack(list(inputs))
        if mode == 'predict':
            return [{'score': float(row.sum())} for row in self.head(self.body(inputs))]
        inputs = inputs * np.random.beta(1, 1) * random.choice((-1, 1))
        return super().forward(inputs, data_samples, mode)


class Score(BaseMetric):
    """The mean of what is predicted."""

    def process(self, data_batch, data_samples):
        self.results += [sample['score'] for sample in data_samples]

    def compute_metrics(self, results):
        return {'score': sum(results) / len(results)}


class At(Hook):
    """Does something before a step, or in the validation after it."""

    def __init__(self, what: Callable[[], None], step: int, phase: str = 'train') -> None:
        self.what, self.step, self.phase = what, step, phase

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.phase == 'train' and runner.iter == self.step:
            self.what()

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.phase == 'val' and runner.iter == self.step and batch_idx == 1:
            self.what()


def terminate(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


def fail() -> None:
    raise UserError('a file of the validation cannot be read')


class QuickRunner(Runner):
    """A Runner without the report of the environment: compilers take longer than the training."""

    def _log_env(self, env_cfg: dict) -> None:
        pass


def noisy_runner(
    folder: Path, loop: str, *hooks: Hook, workers: int = 0, persistent: bool = False, **cfg
) -> Runner:
    """4 epochs of 4 steps, validated every 2nd, or 14 iterations, validated every 4th."""
    load_checkpoints_safely()
    loader = {'batch_size': 4, 'num_workers': workers, 'persistent_workers': persistent}
    by_epoch = loop == 'epoch'
    if by_epoch:
        train = {'type': 'EpochBasedTrainLoop', 'max_epochs': 4, 'val_interval': 2}
    else:
        train = {'type': 'IterBasedTrainLoop', 'max_iters': 14, 'val_interval': 4}
    sampler = 'DefaultSampler' if by_epoch else 'InfiniteSampler'
    checkpoint = {'type': 'CheckpointHook', 'by_epoch': by_epoch, 'interval': 1 if by_epoch else 3}
    checkpoint |= {'max_keep_ckpts': 2, 'save_best': 'score', 'rule': 'greater'}
    return QuickRunner(
        model=NoisyModel(),
        work_dir=str(folder),
        train_dataloader={**loader, 'sampler': {'type': sampler}, 'dataset': NoisySamples()},
        train_cfg=train,
        val_dataloader={
            **loader,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'dataset': NoisySamples(),
        },
        val_cfg={},
        val_evaluator=Evaluator(Score()),
        optim_wrapper={'optimizer': {'type': 'AdamW', 'lr': 0.01}},
        param_scheduler={'type': 'ExponentialLR', 'gamma': 0.9, 'by_epoch': by_epoch},
        default_hooks={
            'checkpoint': checkpoint,
            'logger': {'type': 'LoggerHook', 'interval': 1},
            **cfg.pop('default_hooks', {}),
        },
        custom_hooks=list(hooks),
        default_scope='transmamba_mm',
        resume=True,
        randomness=cfg.pop('randomness', {'seed': 3}),
        log_processor={'by_epoch': by_epoch, 'window_size': 5},
        experiment_name=f'{folder}'.replace('/', '_'),
        **cfg,
    )


def train(folder: Path, loop: str, *hooks: Hook, **cfg) -> None:
    noisy_runner(folder, loop, *hooks, **cfg).train()
