"""Settings that are chosen, and pairs that do not go together."""

from pathlib import Path

import numpy as np
import pytest

from transmamba_mm.convert.teachers import ImageSettings, PretrainedClassifier
from transmamba_mm.datasets.image_list import ImageList
from transmamba_mm.errors import UserError
from transmamba_mm.own_data.plan import choose
from transmamba_mm.own_data.students import student_names

SWIN = {'type': 'SwinTransformer'}


def images(count=400):
    """Half of each of two classes; a tenth validates."""
    splits = np.array(['val' if i % 10 == 0 else 'train' for i in range(count)])
    files = [Path(f'{i}.png') for i in range(count)]
    return ImageList(Path('photos'), files, np.arange(count) % 2, splits, ['cat', 'dog'])


def teacher(classes=('cat', 'dog'), backbone=None):
    model = {'backbone': backbone or {'type': 'VisionTransformer'}, 'head': {'num_classes': 2}}
    settings = ImageSettings(classes=classes)
    return PretrainedClassifier(model, {}, 'timm', 'timm/x', (224, 224), settings)


@pytest.mark.parametrize(
    ('classes', 'trained'), [(('cat', 'dog'), False), (('dog', 'cat'), True), (None, True)]
)
def test_the_head_is_trained_unless_its_classes_are_the_images(classes, trained):
    plan = choose(images(), teacher(classes), 'vim-small', 384)
    assert (plan.teacher_steps > 0) is trained


@pytest.mark.parametrize(('count', 'steps'), [(400, 2000), (40, 300), (200_000, 56_250)])
def test_small_data_gets_more_epochs(count, steps):
    plan = choose(images(count), teacher(), 'vim-small', 384)
    assert plan.batch_size == 32 and abs(plan.steps - steps) <= plan.steps_per_epoch
    assert len(plan.lines()) == len(plan.reasons)


@pytest.mark.parametrize(
    ('student', 'width', 'method', 'rate'),
    [('vim-nano', 64, 'wsab', 2e-3), ('vim-small', 384, 'wsab', 5e-4), ('swap', 0, 'staged', 5e-4)],
)
def test_method_and_rate_follow_the_student(student, width, method, rate):
    plan = choose(images(), teacher(), student, width)
    assert (plan.method, plan.learning_rate, plan.size) == (method, rate, 224)


def test_a_swin_needs_a_student_with_stages():
    swin = teacher(backbone=SWIN)
    with pytest.raises(UserError, match=r'timm/x is a Swin.*vim-small has one: choose a vmamba'):
        choose(images(), swin, 'vim-small', 384)
    assert choose(images(), swin, 'VMamba-tiny', 768).method == 'wsab'


def test_students_have_the_names_of_their_archs():
    assert {'vim-small', 'vmamba-tiny', 'plainmamba-L1', 'videomamba-middle', 'swap'} <= {
        *student_names()
    }
