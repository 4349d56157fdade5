"""Unread keys and invalid values are reported by their path."""

from pathlib import Path

import pytest

from transmamba_mm.errors import UserError
from transmamba_mm.launch.preflight import preflight
from transmamba_mm.launch.read_config import read_config

CONFIGS = Path(__file__).parents[2] / 'configs'
LEAVES = {
    leaf.parent.name + '/' + leaf.stem: leaf
    for folder in ('transmamba', 'teachers')
    for leaf in sorted((CONFIGS / folder).glob('*.py'))
}
DIGITS = 'transmamba/vim-nano_deit-nano_digits'
VQA = 'transmamba/mambavqa-nano_llava-nano_easyvqa'
NAN = float('nan')

#: Options, and what the message has besides their path.
KEYS = {
    'default_hooks.checkpoint.intevral': "'interval'",
    'default_hooks.logger.intervall': "'interval'",
    'default_hooks.timer.interval': 'IterTimerHook',
    'custom_hooks.0.foo': 'LabelRangeHook',
    'optim_wrapper.paramwise_cfg.bias_lr_mul': "'bias_lr_mult'",
    'optim_wrapper.clip_gard': "'clip_grad'",
    'optim_wrapper.clip_grad.max_nrom': "'max_norm'",
    'optim_wrapper.optimizer.weight_deacy': "'weight_decay'",
    'param_scheduler.1.eta_mi': "'eta_min'",
    'train_cfg.max_iter': "'max_iters'",
    'train_dataloader.batchsize': "'batch_size'",
    'train_dataloader.sampler.shufle': "'shuffle'",
    'train_dataloader.dataset.fractoin': "'fraction'",
    'val_evaluator.topkk': "'topk'",
    'model.student.train_cfg.augment': "'augments'",
    'optim_wrapper.paramwise_cfg.layer_decay_rate': "optim_wrapper.constructor='LearningRate",
    'model.teacher.model.backbone.arch.num_layer': None,
    'model.student.backbone.pach_size': "'patch_size'",
    'data_preprocessor.batch_augments.prob': "'probs'",
    'data_preprocessor.batch_augments.augments.rotat': "'rotate'",
    'env_cfg.cudnn_benchmrak': "'cudnn_benchmark'",
    'env_cfg.mp_cfg.start_method': "'mp_start_method'",
    'randomness.sed': "'seed'",
    'log_processor.windowsize': "'window_size'",
    'visualizer.vis_backend': "'vis_backends'",
}
VALUES = {
    'optim_wrapper.clip_grad.max_norm': [-1, 0, NAN, 'x'],
    'optim_wrapper.constructor': ['', 'Default', None, 3],
    'optim_wrapper.optimizer.weight_decay': [-1, NAN],
    'optim_wrapper.optimizer.lr': [-1, 0, NAN, 'x'],
    'model.distiller.layer_weight': [NAN, 'x', []],
    'train_cfg.max_iters': [-5, 0, 1.5, 'x'],
    'train_cfg.val_interval': [0, -1],
    'train_dataloader.batch_size': [0, -1, 10**9, 'x', None],
    'train_dataloader.num_workers': [-1, 10**6, {}],
    'train_dataloader.collate_fn': [float('inf'), []],
    'train_dataloader.dataset': ['x', [], 3],
    'train_dataloader.sampler': [True],
    'train_dataloader.dataset.pipeline.0': [True, '', None],
    'param_scheduler.0': [None, 3],
    'env_cfg.resource_limit': [-4],
    'randomness.seed': [-1, 1.5],
    'default_hooks.checkpoint.interval': ['x', -7],
    'default_hooks.checkpoint.filename_tmpl': [
        *('fixed.pth', 'iter_{}.ckpt', 'best_{}.pth', 'a/{}.pth', 3),
    ],
    'default_hooks.checkpoint.max_keep_ckpts': ['x'],
    'param_scheduler.0.begin': [-1, 'x'],
    'model.student.backbone': ['x', []],
    'model.student.backbone.patch_size': ['x', {}],
    'model.student.head.num_classes': [-1, 'x', 10**18],
    'log_processor': ['x'],
    'log_level': ['INF', None],
    'env_cfg.mp_cfg.mp_start_method': ['frok'],
    'load_from': [[], 3],
    'scan_backend': [[]],
    'randomness': [None],
    'env_cfg.dist_cfg.backend': ['x'],
}


def message(leaf: str, options: dict) -> str:
    with pytest.raises(UserError) as error:
        preflight(read_config(LEAVES[leaf], options), ())
    return str(error.value)


@pytest.mark.parametrize('leaf', LEAVES)
def test_nothing_is_wrong_with_a_shipped_config(leaf):
    for method in (None, 'scratch', 'logits') if leaf.startswith('transmamba') else (None,):
        preflight(read_config(LEAVES[leaf], method=method), ())


@pytest.mark.parametrize('option', KEYS)
def test_key_that_nothing_reads(option):
    said = message(DIGITS, {option: 1})
    path, key = option.rsplit('.', 1)
    assert path in said and key in said and (KEYS[option] or '') in said


@pytest.mark.parametrize('option', VALUES)
def test_value_that_nothing_can_work_with(option):
    for value in VALUES[option]:
        assert f'{option}={value!r}' in message(DIGITS, {option: value})


@pytest.mark.parametrize('depth', [10**9, 0, -1])
@pytest.mark.parametrize('part', ['student.language', 'teacher.model', 'teacher.model.config.text'])
def test_depth_of_a_model_of_transformers(part, depth):
    option = f'model.{part}{"_" if part.endswith("text") else "."}config.num_hidden_layers'
    assert f'{option}={depth}' in message(VQA, {option: depth})


@pytest.mark.parametrize('part', ['backbone', 'head', 'head.loss'])
@pytest.mark.parametrize('value', [[], ['x'], 5, 'x'])
def test_a_part_of_a_classifier_is_a_dict(part, value):
    """mmengine would build a Sequential of a list."""
    assert f'model.student.{part}' in message(DIGITS, {f'model.student.{part}': value})


@pytest.mark.parametrize('phase', ['train', 'val', 'test'])
@pytest.mark.parametrize('leaf', [DIGITS, VQA])
def test_a_data_loader_without_a_data_set(phase, leaf):
    cfg = read_config(LEAVES[leaf])
    without = {key: value for key, value in cfg[f'{phase}_dataloader'].items() if key != 'dataset'}
    for loader in ({}, without, {**without, 'dataset': None}):
        cfg[f'{phase}_dataloader'] = loader
        with pytest.raises(UserError, match=rf'{phase}_dataloader\.dataset is missing'):
            preflight(cfg, (phase,))


def test_none_among_metrics():
    assert 'val_evaluator.0=None' in message(DIGITS, {'val_evaluator': [None]})


@pytest.mark.parametrize(
    'option',
    [
        *('val_dataloader.num_workers', 'val_dataloader.collate_fn'),
        *('val_dataloader.collate_fn.type', 'optim_wrapper.optimizer'),
        *('optim_wrapper.optimizer.type', 'optim_wrapper.clip_grad.max_norm'),
        *('optim_wrapper.paramwise_cfg.position_lr_mult', 'param_scheduler.0.begin'),
        *('param_scheduler.1.end', 'train_cfg.max_iters', 'train_cfg.val_begin'),
        *('default_hooks.checkpoint.interval', 'default_hooks.checkpoint.max_keep_ckpts'),
        *('default_hooks.logger.interval', 'env_cfg.mp_cfg', 'env_cfg.dist_cfg'),
        *('model.student.type', 'model.student.head.loss.type'),
    ],
)
def test_none_where_something_is_needed(option):
    assert f'{option}=None' in message(DIGITS, {option: None})


def test_all_of_it_at_once():
    said = message(DIGITS, {'train_cfg.max_iters': -5, 'randomness.sed': 1, 'log_level': 'LOUD'})
    assert len(said.splitlines()) == 4


@pytest.mark.parametrize('kind', ['', '.', '.Vim', 'torch', 'Vin'])
@pytest.mark.parametrize('part', ['model', 'train_cfg', 'train_dataloader.sampler'])
def test_type_that_names_nothing(part, kind):
    assert f'{part}: type={kind!r}' in message(DIGITS, {f'{part}.type': kind})


def test_factors_of_a_rate_that_is_not_there():
    cfg = read_config(LEAVES[VQA], {'optim_wrapper.paramwise_cfg': {'token_lr_mult': 2.0}})
    cfg.optim_wrapper.optimizer.pop('lr')
    with pytest.raises(UserError, match=r'optim_wrapper\.optimizer has no lr'):
        preflight(cfg, ('train',))


def test_custom_keys_are_dicts_of_factors():
    key = 'optim_wrapper.paramwise_cfg.custom_keys'
    assert "'lr_mult'" in message(VQA, {key: {'A_log': {'lr_mul': 0.1}}})
    assert 'conv_bias=1' in message(VQA, {key: {'conv_bias': 1}})


def test_randomness_without_a_seed():
    options = {'randomness': {'_delete_': True, 'deterministic': False}}
    assert 'randomness has no seed' in message(DIGITS, options)
