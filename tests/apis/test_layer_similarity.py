"""Student and teacher are compared layer by layer, from a config and checkpoints."""

import numpy as np
import pytest
import torch
from mmengine.config import Config

from tests.transfer.small_models import (
    plainmamba_config,
    swin_config,
    trained,
    videomamba_config,
    vim_config,
    vit_config,
    vmamba_config,
)
from transmamba_mm.apis.layer_similarity import compare_layers
from transmamba_mm.errors import UserError
from transmamba_mm.evaluation.similarity import layer_similarity, record_layers

DATA = {
    'batch_size': 32,
    'num_workers': 0,
    'collate_fn': {'type': 'default_collate'},
    'sampler': {'type': 'DefaultSampler', 'shuffle': False},
    'dataset': {'type': 'Digits', 'split': 'test', 'pipeline': [{'type': 'PackInputs'}]},
}


@pytest.fixture
def transfer(tmp_path):
    """A config of Vim beside ViT, and the Vim's checkpoint, alone and inside a transfer."""
    torch.manual_seed(0)
    torch.save(trained(vit_config(layers=2)).state_dict(), tmp_path / 'teacher.pth')
    state = trained(vim_config(layers=3)).state_dict()
    torch.save(state, tmp_path / 'student.pth')
    inside = {f'student.{key}': value for key, value in state.items()}
    torch.save({'state_dict': inside}, tmp_path / 'transfer.pth')
    teacher = {
        'model': vit_config(layers=2),
        'checkpoint': str(tmp_path / 'teacher.pth'),
        'mean': [77.9],
        'std': [95.9],
    }
    return Config(
        {
            'model': {'student': vim_config(layers=3), 'teacher': teacher},
            'data_preprocessor': {'type': 'ClsDataPreprocessor', 'mean': [128], 'std': [64]},
            'test_dataloader': DATA,
        }
    )


def test_images_are_those_of_the_test_set(transfer, tmp_path):
    transfer['val_dataloader'] = transfer.pop('test_dataloader')
    with pytest.raises(UserError, match='test_dataloader'):
        compare_layers(transfer, {'alone': tmp_path / 'student.pth'})


def test_student_alone_and_inside_a_transfer(transfer, tmp_path):
    found = compare_layers(
        transfer, {'alone': tmp_path / 'student.pth', 'inside': tmp_path / 'transfer.pth'}
    )
    assert list(found) == ['alone', 'inside']
    assert found['alone'].shape == (3, 2)
    np.testing.assert_array_equal(found['alone'], found['inside'])
    assert ((found['alone'] > 0) & (found['alone'] < 1)).all()


def test_fewer_images_give_other_numbers(transfer, tmp_path):
    checkpoints = {'student': tmp_path / 'student.pth'}
    few, all_ = (compare_layers(transfer, checkpoints, n)['student'] for n in (4, 32))
    assert not np.allclose(few, all_)


def test_no_teacher(transfer, tmp_path):
    transfer.model = vim_config()
    with pytest.raises(UserError, match='has no teacher'):
        compare_layers(transfer, {})


def test_a_student_of_another_shape(transfer, tmp_path):
    with pytest.raises(UserError, match='does not fit'):
        compare_layers(transfer, {'other': tmp_path / 'teacher.pth'})


@pytest.mark.parametrize(
    ('student', 'teacher', 'shape'),
    [
        (vmamba_config(), vit_config(), (3, 2)),
        (vmamba_config(), swin_config(), (3, 4)),
        (plainmamba_config(), vit_config(patch=4), (3, 2)),
        (videomamba_config(), vit_config(), (3, 2)),
    ],
    ids=['hierarchical-flat', 'hierarchical-hierarchical', 'four-directions', 'video-on-images'],
)
def test_other_families(student, teacher, shape, transfer, tmp_path):
    torch.manual_seed(0)
    torch.save(trained(student).state_dict(), tmp_path / 'student.pth')
    torch.save(trained(teacher).state_dict(), tmp_path / 'teacher.pth')
    transfer.model.student = student
    transfer.model.teacher.model = teacher
    found = compare_layers(transfer, {'student': tmp_path / 'student.pth'})['student']
    assert found.shape == shape and ((found > 0) & (found < 1)).all()


def test_a_clip_of_stills_is_as_similar_to_an_image_teacher_as_its_image():
    torch.manual_seed(0)
    student, teacher = trained(videomamba_config()), trained(vit_config())
    clips = torch.randn(16, 1, 4, 8, 8)
    found = layer_similarity(record_layers(student, clips), record_layers(teacher, clips))
    assert found.shape == (3, 2) and ((found > 0) & (found < 1)).all()
    stills = clips[:, :, :1].expand(-1, -1, 4, -1, -1)
    image, clip = (record_layers(teacher, x) for x in (clips[:, :, 0], stills))
    torch.testing.assert_close(clip[1].patches, image[1].patches.repeat(1, 4, 1))
    own = layer_similarity(clip, clip)
    torch.testing.assert_close(own, layer_similarity(image, image))
