"""The runner that a config names is the one that runs, and its errors name a place."""

from pathlib import Path

import pytest
from mmengine.registry import Registry
from mmengine.runner import FlexibleRunner

from transmamba_mm.errors import UserError
from transmamba_mm.launch.build_runner import build_runner
from transmamba_mm.launch.explain import explain
from transmamba_mm.launch.read_config import read_config

CONFIGS = Path(__file__).parents[2] / 'configs'
VIM = CONFIGS / 'transmamba/vim-nano_deit-nano_digits.py'
SHORT = {
    'train_cfg.max_iters': 1,
    'train_cfg.val_begin': 2,
    'param_scheduler': [],
    'train_dataloader.batch_size': 4,
}


@pytest.fixture(autouse=True)
def unnamed_afterwards(monkeypatch):
    monkeypatch.setattr(Registry, 'build', Registry.build)


def config(tmp_path, **options):
    cfg = read_config(VIM, SHORT | options, 'scratch')
    cfg.work_dir, cfg.launcher = str(tmp_path), 'none'
    cfg.experiment_name = f'{tmp_path}'.replace('/', '_')
    return cfg


def failure(cfg) -> str | None:
    with pytest.raises(Exception) as error:
        build_runner(cfg).train()
    return explain(error.value)


def test_flexible_runner_trains_by_its_strategy(tmp_path):
    options = {'runner_type': 'FlexibleRunner', 'strategy': {'type': 'SingleDeviceStrategy'}}
    runner = build_runner(config(tmp_path, **options))
    assert isinstance(runner, FlexibleRunner)
    runner.train()
    assert runner.iter == 1 and type(runner.strategy).__name__ == 'SingleDeviceStrategy'


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        ({'strategy': {'type': 'SingleDeviceStrategy'}}, 'FlexibleRunner'),
        ({'runner_type': 'FlexibelRunner'}, "'FlexibleRunner'"),
        ({'runner_type': 'FlexibleRunner', 'strategy': {'type': 'DeepSpeedStrategy'}}, 'DeepSpeed'),
        ({'runner_type': 'FlexibleRunner', 'compile': True}, 'compile'),
    ],
)
def test_runner_that_cannot_be_had(tmp_path, options, named):
    assert named in failure(config(tmp_path, **options))


@pytest.mark.parametrize(
    ('option', 'value', 'place'),
    [
        ('model.backbone.patch_size', -2, 'model.backbone (Vim)'),
        ('model.head.num_classes', -2, 'model.head (LinearClsHead)'),
        ('model.head.loss.mode', 'x', 'model.head.loss (LabelSmoothLoss)'),
        ('train_dataloader.dataset.fraction', 3, 'train_dataloader.dataset (Digits)'),
        ('train_dataloader.sampler.type', 'x', 'train_dataloader.sampler'),
        ('optim_wrapper.optimizer.betas', 3, 'optim_wrapper.optimizer (AdamW)'),
    ],
)
def test_error_of_a_part_names_its_place(tmp_path, option, value, place):
    assert failure(config(tmp_path, **{option: value})).startswith(place)


def test_custom_keys_of_no_parameter(tmp_path):
    key = 'optim_wrapper.paramwise_cfg'
    cfg = config(tmp_path, **{key: {'custom_keys': {'backbone.blocks': {'lr_mult': 0.1}}}})
    cfg.optim_wrapper.constructor = 'DefaultOptimWrapperConstructor'
    build_runner(cfg)
    cfg.optim_wrapper.paramwise_cfg.custom_keys = {'pos_embd': {'lr_mult': 10.0}}
    with pytest.raises(UserError, match=r"custom_keys: 'pos_embd' .* Did you mean 'pos_embed'"):
        build_runner(cfg)


@pytest.mark.parametrize(
    ('option', 'value', 'named'),
    [
        ('model.head.in_channels', 32, ['LinearClsHead', '32', 'does not fit']),
        ('model.backbone.in_channels', 3, ['PatchEmbed', '3 channels', 'does not fit']),
        ('train_dataloader.dataset.pipeline', [], ['ClsDataPreprocessor', 'inputs', 'PackInputs']),
        ('train_dataloader.dataset.pipeline.0.type', 'LoadImageFromFile', ['LoadImageFromFile']),
        ('model.backbone.arch', 10**18, ['10', 'Vim', 'nano']),
    ],
)
def test_parts_that_do_not_fit_are_named_in_the_first_step(tmp_path, option, value, named):
    message = failure(config(tmp_path, **{option: value}))
    assert message is not None and all(word in message for word in named), message


def test_more_memory_than_there_is(tmp_path):
    # 4 PB: more than a process has addresses for
    message = failure(
        config(tmp_path, **{'model.head.num_classes': 10**8, 'model.head.in_channels': 10**7})
    )
    assert 'model.head' in message and 'Not enough memory' in message
