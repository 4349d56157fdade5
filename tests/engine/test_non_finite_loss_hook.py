"""A NaN stops the run before it reaches a weight, and its layer is named."""

import pytest
import torch
from torch import nn

from tests.engine.tiny_run import Samples, TinyModel, tiny_runner
from transmamba_mm.engine import NonFiniteLossHook
from transmamba_mm.errors import UserError


class Overflow(nn.Module):
    """Fine until the third call in training, then NaN from there on."""

    def __init__(self, healthy_calls: int) -> None:
        super().__init__()
        self.calls, self.healthy_calls = 0, healthy_calls

    def forward(self, x):
        self.calls += 1
        return x if self.calls <= self.healthy_calls else x * torch.nan


def test_names_layer_iteration_and_remedies_and_leaves_the_weights_alone(tmp_path):
    model = TinyModel()
    model.body.insert(1, Overflow(healthy_calls=2))
    runner = tiny_runner(tmp_path, NonFiniteLossHook(), model=model)
    seen = []
    model.register_forward_pre_hook(lambda *_: seen.append(model.head.fc.weight.clone()))
    with pytest.raises(UserError) as caught:
        runner.train()
    message = str(caught.value)
    assert 'loss_cls' in message
    assert 'epoch 1, iteration 3' in message
    assert 'body.1 (Overflow)' in message
    assert 'learning rate' in message and 'clip_grad' in message
    assert '--amp' not in message
    assert torch.equal(model.head.fc.weight, seen[-1]), 'the bad loss reached the optimizer'


def test_inner_layer_is_named_not_the_module_around_it(tmp_path):
    model = TinyModel()
    model.head.fc = nn.Sequential(nn.Linear(8, 4), Overflow(healthy_calls=0))
    with pytest.raises(UserError, match=r'head\.fc\.1 \(Overflow\)'):
        tiny_runner(tmp_path, NonFiniteLossHook(), model=model).train()


def test_broken_weights_are_distinguished_from_a_broken_layer(tmp_path):
    model = TinyModel()
    nn.init.constant_(model.head.fc.bias, torch.inf)
    with pytest.raises(UserError, match=r'non-finite.*head\.fc\.bias'):
        tiny_runner(tmp_path, NonFiniteLossHook(), model=model).train()


def test_broken_data_is_distinguished_from_a_broken_layer(tmp_path):
    class Broken(Samples):
        def __getitem__(self, index):
            item = super().__getitem__(index)
            return {**item, 'inputs': item['inputs'] * torch.nan}

    with pytest.raises(UserError, match='batch itself holds non-finite values'):
        tiny_runner(tmp_path, NonFiniteLossHook(), dataset=Broken()).train()


def test_healthy_training_is_not_disturbed(tmp_path):
    models = []
    for name, hooks in (('with', [NonFiniteLossHook()]), ('without', [])):
        model = TinyModel()
        tiny_runner(tmp_path / name, *hooks, model=model).train()
        assert not model._forward_hooks
        models.append(model)
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)
