"""Both stages between all pairs of families: it trains, and the teacher stays as it is."""

import pytest
import torch
from mmengine.optim import OptimWrapper

from tests.transfer.small_models import (
    batch,
    plainmamba_config,
    swin_config,
    trained,
    videomamba_config,
    vim_config,
    vit_config,
    vmamba_config,
)
from transmamba_mm.registry import MODELS

VMAMBA = vmamba_config((16, 32), (2, 2))
PAIRS = {
    'vim-vit': (vim_config(), vit_config(), 'uniform'),
    'plainmamba-vit': (plainmamba_config(), vit_config(), 'uniform'),
    'vmamba-vit': (VMAMBA, vit_config(), 'uniform'),
    'vmamba-swin': (VMAMBA, swin_config(), 'stages'),
    'vmamba-finer-swin': (VMAMBA, swin_config(patch=1), 'stages'),
    'videomamba-vit': (videomamba_config(), vit_config(), 'uniform'),
}


def build(pair, distiller=(), **backbone):
    student, teacher, layer_map = PAIRS[pair]
    student = {**student, 'backbone': {**student['backbone'], **backbone}}
    torch.manual_seed(0)
    model = MODELS.build(
        {
            'type': 'KnowledgeTransfer',
            'student': student,
            'teacher': {'model': trained(teacher)},
            'distiller': {'type': 'WSAB', **dict(distiller)},
            'layer_map': layer_map,
            'subcloning': {'type': 'WeightSubcloning'},
        }
    )
    model.init_weights()
    return model


def check_training(model, data, steps=12):
    teacher = {k: v.clone() for k, v in model.teacher.model.state_dict().items()}
    adapters = {k: v.clone() for k, v in model.distiller.state_dict().items()}
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=3e-3))
    logs = [model.train_step(data, optimizer) for _ in range(steps)]
    assert all(torch.isfinite(value) for log in logs for value in log.values())
    for key in ('layer_loss', 'direction0_loss', 'loss'):
        assert logs[-1][key] < logs[0][key], key
    assert all(not torch.equal(adapters[k], v) for k, v in model.distiller.state_dict().items())
    assert all(torch.equal(teacher[k], v) for k, v in model.teacher.model.state_dict().items())
    return logs[0]


@pytest.mark.parametrize('pair', PAIRS)
def test_every_pair_trains(pair):
    model = build(pair)
    assert model.transfer_report.summary().split()[0] != '0'
    log = check_training(model, batch())
    num_directions = 2 if pair.startswith(('vim', 'video')) else 4
    assert f'direction{num_directions - 1}_loss' in log
    assert f'direction{num_directions}_loss' not in log


def records_of(model, data):
    seen = []
    hook = model.distiller.register_forward_pre_hook(lambda _, records: seen.append(records))
    data = model.data_preprocessor(data, training=True)
    model(**data, mode='loss')
    hook.remove()
    return seen[0]


def test_grids_and_widths_of_a_hierarchical_student_beside_a_flat_teacher():
    student, teacher = records_of(build('vmamba-vit'), batch())
    assert student.grids == [(4, 4), (4, 4), (2, 2), (2, 2)] and teacher.grids == [(4, 4)] * 4
    assert [p.shape[1:] for p in student.patches] == [(16, 16)] * 2 + [(4, 32)] * 2
    assert [d.shape[1:] for d in student.directions] == [(4, 16, 16)] * 2 + [(4, 4, 32)] * 2
    assert [p.shape[1:] for p in teacher.patches] == [(16, 24)] * 4
    assert student.cls == [None] * 4 and teacher.cls[0].shape == (8, 24)


def test_stages_look_at_stages():
    student, teacher = records_of(build('vmamba-finer-swin'), batch())
    assert student.grids == [(4, 4), (4, 4), (2, 2), (2, 2)]
    assert teacher.grids == [(8, 8), (8, 8), (4, 4), (4, 4)]
    assert [p.shape[-1] for p in teacher.patches] == [24, 24, 48, 48]


def clips(num_frames=4):
    """A batch of clips (C, T, H, W) that differ from frame to frame."""
    data = batch()
    frames = torch.rand(len(data['inputs']), 1, num_frames, 8, 8) * 16
    return {**data, 'inputs': frames}


def test_the_teacher_sees_a_clip_frame_by_frame():
    model, data = build('videomamba-vit'), clips()
    student, teacher = records_of(model, data)
    assert student.grids == teacher.grids == [(4, 4, 4)] * 3
    assert student.patches[0].shape == (8, 64, 16) and teacher.patches[0].shape == (8, 64, 24)
    assert student.directions[0].shape == (8, 2, 64, 16)
    frame = {**data, 'inputs': data['inputs'][:, :, 2]}
    _, alone = records_of(model, frame)
    torch.testing.assert_close(teacher.patches[0][:, 32:48], alone.patches[0])
    every = [records_of(model, {**data, 'inputs': data['inputs'][:, :, t]})[1] for t in range(4)]
    torch.testing.assert_close(teacher.cls[1], torch.stack([r.cls[1] for r in every]).mean(0))
    torch.testing.assert_close(teacher.logits, torch.stack([r.logits for r in every]).mean(0))
    torch.testing.assert_close(model.teacher(data['inputs']), teacher.logits)


def test_a_video_student_trains():
    check_training(build('videomamba-vit'), clips())


def test_tubelets_and_another_image_size_of_the_teacher():
    torch.manual_seed(0)
    model = MODELS.build(
        {
            'type': 'KnowledgeTransfer',
            'student': videomamba_config(tubelet_size=2),
            'teacher': {
                'model': trained(vit_config()),
                'img_size': 12,
                'mean': [8.0],
                'std': [4.0],
            },
            'distiller': {'type': 'WSAB'},
        }
    )
    model.init_weights()
    student, teacher = records_of(model, clips())
    assert student.grids[0] == (2, 4, 4) and teacher.grids[0] == (4, 6, 6)
    check_training(model, clips())
