"""Swapped text towers and language models train in stages, and work without their teacher."""

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

from tests.configs.decay import check_decay
from tests.datasets.video.clips import write_clip
from transmamba_mm.apis.answer_questions import VQAInferencer
from transmamba_mm.apis.export_student import export_student
from transmamba_mm.apis.search_videos import VideoSearch
from transmamba_mm.datasets.make_moving_digits import make_moving_digits
from transmamba_mm.launch.read_config import read_config
from transmamba_mm.launch.signed_config import sign_config
from transmamba_mm.registry import MODELS

STEPS = 10  # three of them align the mixers


class LossLog(Hook):
    """Keeps what every step reports."""

    def __init__(self):
        self.steps = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.steps.append(
            {key: float(torch.as_tensor(value).detach()) for key, value in outputs.items()}
        )


def train(name, folder):
    """A short training in stages from a teacher of random weights; the runner, and its losses."""
    cfg = read_config(f'configs/transmamba/{name}.py', method='staged')
    cfg.work_dir = str(folder / 'run')
    cfg.experiment_name = f'{folder.name}_{name}'
    cfg.launcher = 'none'
    cfg.train_cfg = {'type': 'IterBasedTrainLoop', 'max_iters': STEPS, 'val_interval': 999}
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False, batch_size=12)
    # The recipe's 2e-3, five times as much in the first stage, is too fast for random weights.
    cfg.optim_wrapper.optimizer.lr = 2e-4
    cfg.param_scheduler = []
    cfg.default_hooks.checkpoint.update(interval=STEPS, save_best=None)
    cfg.model.teacher.model.vision_checkpoint = None
    if 'movingdigits' in name:
        cfg.train_dataloader.dataset.data_root = str(folder / 'moving_digits')
        list(make_moving_digits(folder / 'moving_digits', {'train': 24, 'test': 4}))
        cfg.train_dataloader.dataset.pipeline[0].cache.dir = str(folder / 'cache')
    with DefaultScope.overwrite_default_scope('transmamba_mm'):
        torch.manual_seed(0)
        teacher = MODELS.build(cfg.model.teacher.model)
        teacher.init_weights()
        cfg.model.teacher.checkpoint = str(folder / 'teacher.pth')
        torch.save({'state_dict': teacher.state_dict()}, cfg.model.teacher.checkpoint)
        runner, log = Runner.from_cfg(cfg), LossLog()
        runner.register_hook(log)
        runner.train()
    (config,) = (folder / 'run').glob('*.py')
    sign_config(config)
    return runner, log.steps


@pytest.fixture(scope='module', params=['swap_clip-nano_movingdigits', 'swap_llava-nano_easyvqa'])
def trained(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp('swap')
    return request.param, folder, train(request.param, folder)


def test_trains_through_all_stages(trained):
    *_, (runner, steps) = trained
    model = runner.model
    assert len(steps) == STEPS
    for step, losses in enumerate(steps):
        parts = {key for key in losses if 'loss' in key} - {'loss'}
        assert ({'alignment_loss'} == parts) is (step < 3)
        assert ({'logits_loss', 'task_loss'} <= parts) is (step >= 3)
        assert all(np.isfinite(value) for value in losses.values())
    # Features end halfway through the last stage.
    assert 'layer_loss' in steps[3] and 'layer_loss' not in steps[-1]
    assert steps[2]['alignment_loss'] < steps[0]['alignment_loss']
    check_decay(model, runner.optim_wrapper.optimizer)
    lines = model.transfer_report.lines
    for tower in model.student.towers():
        mine = [line for line in lines if line.student.startswith(f'{tower}.')]
        assert mine
        assert all(line.status == 'cloned' for line in mine if '.mixer.' not in line.student)


def test_the_export_predicts_without_the_teacher(trained):
    name, folder, _ = trained
    (folder / 'teacher.pth').unlink()
    out = folder / 'export' / 'student.safetensors'
    out.parent.mkdir()
    export_student(str(folder / 'run'), str(out))
    if 'easyvqa' in name:
        picture = folder / 'white.png'
        Image.fromarray(np.full((64, 64, 3), 255, np.uint8)).save(picture)
        questions = ['Is there a red shape?', 'What color is the shape?']
        found = [
            VQAInferencer(str(path), device='cpu')([str(picture)] * 2, questions)
            for path in (folder / 'run', out)
        ]
        assert found[0] == found[1] and len(found[0]) == 2
    else:
        (folder / 'videos').mkdir()
        for video, frames in (('a', 4), ('b', 24)):
            write_clip(folder / 'videos' / f'{video}.mp4', frames)
        found = []
        for path in (folder / 'run', out):
            search = VideoSearch(str(path), device='cpu')
            search.index(str(folder / 'videos'))
            found.append([(hit.path, round(hit.score, 5)) for hit in search(['a seven'])[0]])
        assert found[0] == found[1] and len(found[0]) == 2
