"""Both stages between all pairs of families: it trains, and the teacher stays as it is."""

import pytest
import torch
from mmengine.optim import OptimWrapper

from tests.transfer.small_models import (
    batch,
    plainmamba_config,
    swap_config,
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
    'swap-vit': (swap_config(), vit_config(), 'uniform'),
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
    num_directions = 2 if pair.startswith(('vim', 'video', 'swap')) else 4
    assert f'direction{num_directions - 1}_loss' in log
    assert f'direction{num_directions}_loss' not in log


def records_of(model, data):
    seen = []
    hook = model.distiller.register_forward_pre_hook(lambda _, records: seen.append(records))
    data = model.data_preprocessor(data, training=True)
    model(**data, mode='loss')
    hook.remove()
    return seen[0]


def grids(features):
    return [feature.grid for feature in features]


def shapes(features):
    return [feature.patches.shape[1:] for feature in features]


def test_grids_and_widths_of_a_hierarchical_student_beside_a_flat_teacher():
    student, teacher = records_of(build('vmamba-vit'), batch())
    ours, theirs = student.layer_features, teacher.layer_features
    assert grids(ours) == [(4, 4), (4, 4), (2, 2), (2, 2)] and grids(theirs) == [(4, 4)] * 4
    assert shapes(ours) == [(16, 16)] * 2 + [(4, 32)] * 2
    assert shapes(student.direction_features) == [(4, 16, 16)] * 2 + [(4, 4, 32)] * 2
    assert shapes(theirs) == [(16, 24)] * 4
    assert [f.cls for f in ours] == [None] * 4 and theirs[0].cls.shape == (8, 24)


def test_stages_match_stages():
    student, teacher = records_of(build('vmamba-finer-swin'), batch())
    assert grids(student.layer_features) == [(4, 4), (4, 4), (2, 2), (2, 2)]
    assert grids(teacher.layer_features) == [(8, 8), (8, 8), (4, 4), (4, 4)]
    assert [shape[-1] for shape in shapes(teacher.layer_features)] == [24, 24, 48, 48]


def clips(num_frames=4):
    """A batch of clips (C, T, H, W) that differ from frame to frame."""
    data = batch()
    frames = torch.rand(len(data['inputs']), 1, num_frames, 8, 8) * 16
    return {**data, 'inputs': frames}


def test_the_teacher_encodes_a_clip_frame_by_frame():
    model, data = build('videomamba-vit'), clips()
    student, teacher = records_of(model, data)
    ours, theirs = student.layer_features, teacher.layer_features
    assert grids(ours) == grids(theirs) == [(4, 4, 4)] * 3
    assert ours[0].patches.shape == (8, 64, 16) and theirs[0].patches.shape == (8, 64, 24)
    assert student.direction_features[0].patches.shape == (8, 2, 64, 16)
    frame = {**data, 'inputs': data['inputs'][:, :, 2]}
    _, alone = records_of(model, frame)
    torch.testing.assert_close(theirs[0].patches[:, 32:48], alone.layer_features[0].patches)
    every = [records_of(model, {**data, 'inputs': data['inputs'][:, :, t]})[1] for t in range(4)]
    cls_tokens = torch.stack([r.layer_features[1].cls for r in every])
    torch.testing.assert_close(theirs[1].cls, cls_tokens.mean(0))
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
    assert grids(student.layer_features)[0] == (2, 4, 4)
    assert grids(teacher.layer_features)[0] == (4, 6, 6)
    check_training(model, clips())
