"""A Runner goes through the stages of a transfer, and resumes in the middle of any."""

import pytest
import torch
from mmengine.config import Config

from tests.engine.noisy_run import QuickRunner
from tests.transfer.small_models import batch
from tests.transfer.test_stages import transfer
from transmamba_mm.checkpoint import load_checkpoint
from transmamba_mm.engine.optim.stage_schedule import shorten_schedule
from transmamba_mm.study.kill_resume import differences

STAGES = [
    {
        'share': 0.5,
        'name': 'mixer alignment',
        'trains': 'mixers',
        'distiller': {'type': 'MixerAlignment'},
        'lr_mult': 2.0,
    },
    {'share': 0.5, 'name': 'end to end'},
]
STEPS = 8


def runner(folder, num_steps=STEPS, **cfg):
    torch.manual_seed(0)
    data = batch(4)
    samples = [dict(zip(data, pair, strict=True)) for pair in zip(*data.values(), strict=True)]
    optimizing = {
        'optim_wrapper': {'optimizer': {'type': 'AdamW', 'lr': 0.01}},
        'param_scheduler': [
            {'type': 'LinearLR', 'by_epoch': False, 'start_factor': 0.5, 'end': 4},
            {'type': 'CosineAnnealingLR', 'by_epoch': False, 'begin': 4},
        ],
    }
    return QuickRunner(
        model=transfer(STAGES),
        work_dir=str(folder),
        train_dataloader={
            'batch_size': 2,
            'sampler': {'type': 'InfiniteSampler'},
            'dataset': samples,
        },
        train_cfg={'type': 'IterBasedTrainLoop', 'max_iters': num_steps},
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 1}},
        custom_hooks=[{'type': 'StageHook'}],
        default_scope='transmamba_mm',
        resume=True,
        randomness={'seed': 3},
        log_processor={'by_epoch': False},
        experiment_name=f'{folder}'.replace('/', '_'),
        cfg=Config(optimizing),
        **optimizing,
        **cfg,
    )


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    runner(folder).train()
    return folder


def test_the_log_names_each_stage(whole):
    log = next(whole.rglob('*.log')).read_text()
    assert 'Stage 1 of 2 (mixer alignment): steps 0 to 4' in log
    assert 'Stage 2 of 2 (end to end): steps 4 to 8' in log


@pytest.mark.parametrize('step', [1, 4, 5])
def test_the_optimizer_holds_what_the_stage_trains(whole, step):
    """Saved after ``step`` steps: in the first stage, at its end, in the second."""
    state = load_checkpoint(whole / f'iter_{step}.pth')
    model = transfer(STAGES)
    model.enter_stage(0 if step <= 4 else 1)
    held = [i for group in state['optimizer']['param_groups'] for i in group['params']]
    assert len(held) == sum(p.requires_grad for p in model.parameters())


def test_a_stage_changes_nothing_else(whole):
    before = transfer(STAGES).state_dict()
    after = load_checkpoint(whole / 'iter_4.pth')['state_dict']
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed and all('.attn.mixer.' in key for key in changed)


def test_each_stage_has_the_whole_schedule_and_its_learning_rate(whole):
    lrs = [
        load_checkpoint(whole / f'iter_{step}.pth')['optimizer']['param_groups'][0]['lr']
        for step in range(1, STEPS + 1)
    ]
    assert lrs[:4] == pytest.approx([2 * lr for lr in lrs[4:]])
    assert max(lrs) == lrs[0] == pytest.approx(0.02) and lrs[3] < max(lrs)


@pytest.mark.parametrize('step', [2, 4, 6])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(whole, tmp_path, step):
    (tmp_path / f'iter_{step}.pth').write_bytes((whole / f'iter_{step}.pth').read_bytes())
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / f'iter_{step}.pth'))
    runner(tmp_path).train()
    last = f'iter_{STEPS}.pth'
    found = differences(load_checkpoint(whole / last), load_checkpoint(tmp_path / last))
    assert list(found) == []


def test_schedules_are_shortened():
    epochs = {'type': 'CosineAnnealingLR', 'begin': 5, 'T_max': 95, 'convert_to_iter_based': True}
    (short,) = shorten_schedule([epochs], 0.3, num_steps=300, epoch_length=10)
    assert short == {
        'type': 'CosineAnnealingLR',
        'begin': 15,
        'T_max': 285,
        'by_epoch': False,
        'end': 300,
    }
    steps = {'type': 'MultiStepLR', 'by_epoch': False, 'milestones': [100, 200], 'end': 1000}
    (short,) = shorten_schedule([steps], 0.1, num_steps=100, epoch_length=10)
    assert (short['milestones'], short['end']) == ([10, 20], 100)


def test_a_part_without_a_step_is_left_out():
    warm_up = {'type': 'LinearLR', 'by_epoch': False, 'end': 100}
    cosine = {'type': 'CosineAnnealingLR', 'by_epoch': False, 'begin': 100}
    found = shorten_schedule([warm_up, cosine], 0.01, num_steps=1, epoch_length=10)
    assert [(config['type'], config['end']) for config in found] == [('LinearLR', 1)]


def test_stages_of_two_and_three_steps_train(tmp_path):
    """The warm-up takes all of the first stage."""
    runner(tmp_path, num_steps=5).train()
    assert load_checkpoint(tmp_path)['meta']['iter'] == 5
