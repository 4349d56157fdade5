import copy
import re

import pytest
import torch
from mmpretrain.models import ClsDataPreprocessor

from tests.transfer.small_models import trained, vit_config
from transmamba_mm.errors import UserError
from transmamba_mm.transfer.teacher import FrozenTeacher

MEAN, STD = [4.0, 5.0, 6.0], [2.0, 3.0, 4.0]


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'teacher.pth'
    torch.save({'state_dict': trained(vit_config()).state_dict()}, path)
    return path


def test_loads_only_when_asked(checkpoint):
    teacher = FrozenTeacher(vit_config(), checkpoint)
    weights = torch.load(checkpoint)['state_dict']
    own = teacher.model.state_dict()
    assert any(not torch.equal(own[key], weights[key]) for key in weights)
    teacher.load()
    assert all(torch.equal(own[key], weights[key]) for key in weights)


def test_without_weights():
    with pytest.raises(UserError, match=r'teacher\.checkpoint'):
        FrozenTeacher(vit_config()).load()
    FrozenTeacher(trained(vit_config())).load()  # a model that comes trained needs none


def test_missing_file(tmp_path):
    teacher = FrozenTeacher(vit_config(), tmp_path / 'nowhere.pth')  # building needs no file
    with pytest.raises(UserError, match=r'nowhere\.pth'):
        teacher.load()


@pytest.mark.parametrize(
    ('img_size', 'positions'),
    [(8, set()), (16, {('shape', 'backbone.pos_embed')})],
    ids=['positions-adapted-by-the-model', 'positions-its-hook-chokes-on'],
)
def test_table_of_what_differs(img_size, positions, checkpoint):
    config = vit_config(classes=7, img_size=img_size, with_cls_token=False, out_type='avg_featmap')
    with pytest.raises(UserError) as caught:
        FrozenTeacher(config, checkpoint).load()
    first, *table, _ = str(caught.value).splitlines()
    assert str(checkpoint) in first
    assert {re.match(r'  (\w+) +(\S+): ', line).groups() for line in table} == positions | {
        ('shape', 'head.layers.head.weight'),
        ('shape', 'head.layers.head.bias'),
        ('missing', 'backbone.ln2.weight'),
        ('missing', 'backbone.ln2.bias'),
        ('unexpected', 'backbone.cls_token'),
    }
    assert '(10, 24) in the checkpoint, (7, 24) in the model' in str(caught.value)


def test_long_table_is_cut(checkpoint):
    with pytest.raises(UserError, match=r'\.\.\. and \d+ more'):
        FrozenTeacher(vit_config(dims=32, layers=3), checkpoint).load()


def test_positions_of_another_image_size_are_resized(checkpoint):
    teacher = FrozenTeacher(vit_config(img_size=16), checkpoint)
    teacher.load()
    assert teacher(torch.randn(2, 1, 16, 16)).shape == (2, 10)


def test_whole_teacher_is_in_eval_without_a_graph():
    config = vit_config(drop_path_rate=0.9, drop_rate=0.5)
    teacher = FrozenTeacher(trained(config))
    images = torch.randn(4, 1, 8, 8, requires_grad=True)
    first, second = teacher(images), teacher(images)
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert not any(module.training for module in teacher.model.modules())
    assert not any(p.requires_grad for p in teacher.model.parameters())


def test_copies_share_it():
    teacher = FrozenTeacher(trained(vit_config()))
    assert copy.deepcopy(teacher) is teacher


@pytest.mark.parametrize('student_norm', [{}, {'mean': [1, 2, 3], 'std': [5, 6, 7]}], ids=str)
def test_gets_the_picture_in_its_own_normalization(student_norm):
    pixels = torch.rand(2, 3, 8, 8) * 16
    student = ClsDataPreprocessor(**student_norm)
    teacher = FrozenTeacher(trained(vit_config()), mean=MEAN, std=STD)
    seen = teacher.preprocess(student({'inputs': pixels})['inputs'], student)
    torch.testing.assert_close(seen, ClsDataPreprocessor(MEAN, STD)({'inputs': pixels})['inputs'])


def test_renormalizing_keeps_mixed_images():
    pixels = torch.rand(2, 3, 8, 8) * 16
    student = ClsDataPreprocessor([1, 2, 3], [5, 6, 7])
    teacher = FrozenTeacher(trained(vit_config()), mean=MEAN, std=STD)

    def mixed(images):
        return 0.3 * images + 0.7 * images.flip(0)

    seen = teacher.preprocess(mixed(student({'inputs': pixels})['inputs']), student)
    own = ClsDataPreprocessor(MEAN, STD)({'inputs': pixels})['inputs']
    torch.testing.assert_close(seen, mixed(own))


def test_gets_the_images_as_they_are_by_default():
    images = torch.randn(2, 1, 8, 8)
    teacher = FrozenTeacher(trained(vit_config()))
    assert teacher.preprocess(images, ClsDataPreprocessor([1], [2])) is images


@pytest.mark.parametrize('img_size', [16, (4, 12)], ids=str)
def test_gets_its_own_image_size(img_size):
    teacher = FrozenTeacher(trained(vit_config()), img_size=img_size)
    ramp = torch.linspace(0, 1, 8).expand(1, 1, 8, 8)
    seen = teacher.preprocess(ramp, ClsDataPreprocessor())
    assert seen.shape[-2:] == ((16, 16) if img_size == 16 else img_size)
    middle = seen[0, 0, 2, 3:-3]  # still a ramp from left to right, away from the border
    assert (middle.diff() > 0).all()


def test_mean_without_std():
    with pytest.raises(UserError, match='both mean and std'):
        FrozenTeacher(vit_config(), mean=[0.5])


def test_follows_the_images_to_their_device():
    teacher = FrozenTeacher(trained(vit_config()))
    logits = teacher(torch.empty(2, 1, 8, 8, device='meta'))  # a device every machine has
    assert logits.device.type == 'meta'
