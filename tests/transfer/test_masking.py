"""Patches that are hidden from the student and not from its teacher."""

import pytest
import torch

from tests.transfer.small_models import (
    batch,
    trained,
    videomamba_config,
    vim_config,
    vit_config,
    vmamba_config,
)
from tests.transfer.test_knowledge_transfer import build, train
from transmamba_mm.transfer.features.masking import mask_images
from transmamba_mm.transfer.progress import Progress

STUDENTS = {
    'vim': (vim_config(), (4, 4), (8, 8)),
    'overlapping': (vim_config(backbone={'patch_stride': 1}), (7, 7), (8, 8)),
    'hierarchical': (vmamba_config(), (2, 2), (8, 8)),  # the coarsest of 4x4 and 2x2
    'clips': (videomamba_config(), (4, 4), (4, 8, 8)),
}


@pytest.mark.parametrize('name', STUDENTS)
def test_whole_patches_are_hidden_as_many_in_every_image(name):
    config, (rows, columns), size = STUDENTS[name]
    student = trained(config)
    images = torch.rand(3, 1, *size) + 1
    masked = mask_images(student, images, 0.5)
    assert ((masked == 0) | (masked == images)).all()
    shown = (masked != 0).float()
    if len(size) == 3:  # the same patches in all frames
        assert (shown == shown[:, :, :1]).all()
        shown = shown[:, :, 0]
    if name != 'overlapping':
        cells = shown.unflatten(2, (rows, -1)).unflatten(4, (columns, -1))
        per_cell = cells.mean(dim=(1, 3, 5))  # (3, rows, columns)
        assert ((per_cell == 0) | (per_cell == 1)).all()
        assert (per_cell.sum(dim=(1, 2)) == rows * columns / 2).all()
    assert not torch.equal(shown[0], shown[1])
    torch.testing.assert_close(mask_images(student, images, 0.0), images)


def test_the_teacher_gets_whole_images_and_so_does_the_student_when_features_end(monkeypatch):
    distiller = {'type': 'WSAB', 'mask_ratio': 0.5, 'feature_end': 0.5}
    model = build(distiller=distiller)
    seen = {}
    model.student.backbone.register_forward_pre_hook(lambda _, args: seen.update(student=args[0]))
    model.teacher.model.register_forward_pre_hook(lambda _, args: seen.update(teacher=args[0]))
    data = model.data_preprocessor(batch(), training=True)
    model(**data, mode='loss')
    torch.testing.assert_close(seen['teacher'], data['inputs'])
    hidden = seen['student'] != data['inputs']
    assert (seen['student'][hidden] == 0).all() and 0.3 < hidden.float().mean() < 0.55
    monkeypatch.setattr(Progress, 'of_runner', classmethod(lambda cls: cls(5, 10)))
    model(**data, mode='loss')
    torch.testing.assert_close(seen['student'], data['inputs'])


def test_a_training_with_masks():
    logs = train(build(distiller={'type': 'WSAB', 'mask_ratio': 0.25}), steps=10)
    assert logs[-1]['layer_loss'] < logs[0]['layer_loss']


def test_a_narrow_classifier_keeps_its_projector():
    student = vim_config(dims=16)
    student['neck'] = {
        'type': 'LinearNeck',
        'in_channels': 16,
        'out_channels': 24,
        'gap_dim': 0,
        'norm_cfg': None,
    }
    student['head']['in_channels'] = 24
    model = build(
        student,
        vit_config(dims=24),
        distiller={'type': 'WSAB', 'embedding_weight': 1.0},
        subcloning={'type': 'WeightSubcloning'},
    )
    teacher = model.teacher.model.state_dict()
    torch.testing.assert_close(
        model.student.head.fc.weight.data, teacher['head.layers.head.weight']
    )
    logs = train(model)
    assert logs[-1]['backbone_embedding_loss'] < logs[0]['backbone_embedding_loss']
    assert 'student.neck.fc.weight' in model.state_dict()
    model.eval()
    assert all('pred_score' in sample for sample in model.val_step(batch()))
