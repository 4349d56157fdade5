"""Two processes log the mean of both."""

import functools
import json
import os

import pytest
import torch

from tests.engine.tiny_run import Samples, TinyModel, tiny_runner
from tests.two_processes import on_two_processes
from transmamba_mm.engine import MeanLossHook
from transmamba_mm.errors import UserError


class Scaled(Samples):
    """Samples ten times as large in the second process."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.scale = 10.0**rank

    def __getitem__(self, index):
        item = super().__getitem__(index)
        return {**item, 'inputs': item['inputs'] * self.scale}


class Watched(TinyModel):
    """Keeps the losses that this process computed."""

    def __init__(self):
        super().__init__()
        self.own = []

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        if isinstance(output, dict):
            self.own.append(output['loss_cls'].detach())
        return output


class Uneven(TinyModel):
    """In the second step each process has a loss of its own."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.name, self.steps = ('loss_rare', 'loss_other')[rank], 0

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        self.steps += 1
        return output | ({self.name: 0 * output['loss_cls']} if self.steps == 2 else {})


def runner_of(folder, rank, model, *hooks):
    os.environ['LOCAL_RANK'] = str(rank)
    return tiny_runner(
        folder,
        *hooks,
        model=model,
        dataset=Scaled(rank),
        epochs=1,
        launcher='pytorch',
        cfg={'model_wrapper_cfg': {'type': 'MMDistributedDataParallel', 'device_ids': None}},
        default_hooks={'logger': {'type': 'LoggerHook', 'interval': 1}},
    )


def train(folder, hooks, rank):
    """A few steps; the mean of the losses that this process computed."""
    model = Watched()
    runner_of(folder, rank, model, *hooks).train()
    return {'own': torch.stack(model.own).mean()}


def refusal(folder, rank):
    try:
        runner_of(folder, rank, Uneven(rank), MeanLossHook()).train()
    except UserError as error:
        return str(error)


@pytest.mark.parametrize('hooks', [[MeanLossHook()], []], ids=['with', 'without'])
def test_log_is_the_mean_of_all_processes(tmp_path, hooks):
    (tmp_path / 'exchange').mkdir()
    work = functools.partial(train, tmp_path / 'run', hooks)
    first, second = on_two_processes(work, tmp_path / 'exchange')
    (log,) = (tmp_path / 'run').rglob('scalars.json')
    logged = [json.loads(line) for line in log.read_text().splitlines()][-1]['loss_cls']
    assert abs(second['own'] - first['own']) > 0.1
    mean = (first['own'] + second['own']) / 2 if hooks else first['own']
    torch.testing.assert_close(torch.tensor(logged), mean, atol=1e-3, rtol=1e-4)


@pytest.mark.slow
def test_processes_that_log_different_values_end_with_their_names(tmp_path):
    (tmp_path / 'exchange').mkdir()
    work = functools.partial(refusal, tmp_path / 'run')
    first, second = on_two_processes(work, tmp_path / 'exchange')
    assert first == second and 'iteration 2' in first and 'loss_cls' not in first
    assert 'loss_rare in process 0' in first and 'loss_other in process 1' in first
