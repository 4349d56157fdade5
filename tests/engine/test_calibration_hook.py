"""A Runner calibrates a transfer before its first step, and never again."""

import pytest
import torch
from mmengine.model import BaseDataPreprocessor

from tests.engine.noisy_run import QuickRunner
from tests.transfer.small_models import batch, trained, vim_config, vit_config
from transmamba_mm.checkpoint import load_checkpoint
from transmamba_mm.errors import UserError
from transmamba_mm.registry import MODELS


def runner(folder, num_steps=3, calibration='attention', **cfg):
    torch.manual_seed(0)
    data = batch(8)
    samples = [dict(zip(data, pair, strict=True)) for pair in zip(*data.values(), strict=True)]
    model = MODELS.build(
        {
            'type': 'KnowledgeTransfer',
            'student': vim_config(dims=24, layers=2),
            'teacher': {'model': trained(vit_config())},
            'distiller': {'type': 'LogitsDistiller'},
            'subcloning': {'type': 'WeightSubcloning', 'calibration': calibration},
        }
    )
    return QuickRunner(
        model=model,
        work_dir=str(folder),
        train_dataloader={
            'batch_size': 2,
            'sampler': {'type': 'InfiniteSampler'},
            'dataset': samples,
        },
        train_cfg={'type': 'IterBasedTrainLoop', 'max_iters': num_steps},
        optim_wrapper={'optimizer': {'type': 'AdamW', 'lr': 0.01}},
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 1}},
        custom_hooks=[{'type': 'CalibrationHook', 'num_images': 6}],
        default_scope='transmamba_mm',
        resume=True,
        randomness={'seed': 3},
        log_processor={'by_epoch': False},
        experiment_name=f'{folder}'.replace('/', '_'),
        **cfg,
    )


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    run = runner(folder)
    run.train()
    assert not run.model.needs_calibration
    return folder


def weights(folder, step):
    return load_checkpoint(folder / f'iter_{step}.pth')['state_dict']


def test_before_the_first_step(whole):
    log = next(whole.rglob('*.log')).read_text()
    assert 'Calibrated on 6 images:\nlayer 0 like 0: decay' in log


def test_the_random_states_stay(whole, tmp_path):
    """The same batches are drawn without it: only the weights of mixers differ."""
    seen = []
    for folder, calibration in ((tmp_path / 'with', 'scale'), (tmp_path / 'without', None)):
        run = runner(folder, 1, calibration)
        handle = run.model.student.backbone.register_forward_pre_hook(
            lambda module, args: seen.append(args[0]) if module.training else None
        )
        run.train()
        handle.remove()
        seen.append(torch.rand(2))
    assert len(seen) == 4 and torch.equal(seen[0], seen[2]) and torch.equal(seen[1], seen[3])


@pytest.mark.parametrize('step', [1, 2])
def test_a_resumed_training_is_not_calibrated_again(whole, tmp_path, step):
    runner(tmp_path, step).train()
    resumed = runner(tmp_path)
    resumed.train()
    assert (tmp_path / 'iter_3.pth').is_file()
    ours, theirs = weights(tmp_path, 3), weights(whole, 3)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    logs = ''.join(file.read_text() for file in tmp_path.rglob('*.log'))
    assert logs.count('Calibrated on') == 1


def test_weights_that_are_loaded_are_not_calibrated(whole, tmp_path):
    run = runner(tmp_path, 1, load_from=str(whole / 'iter_3.pth'))
    run.train()
    assert 'Calibrated on' not in next(tmp_path.rglob('*.log')).read_text()


def test_batches_without_images_are_refused(tmp_path):
    run = runner(tmp_path)
    run.model.data_preprocessor = BaseDataPreprocessor()  # some take any batch
    run.train_loop.dataloader.collate_fn = lambda items: {'img': [item['inputs'] for item in items]}
    with pytest.raises(UserError, match='batches of train_dataloader have no images'):
        run.train()
