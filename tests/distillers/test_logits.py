import pytest
import torch

from transmamba_mm.distillers import LogitsDistiller
from transmamba_mm.distillers.label_losses import hard_label_loss, soft_label_loss
from transmamba_mm.errors import UserError
from transmamba_mm.registry import DISTILLERS
from transmamba_mm.transfer.features.features import FeatureKind, Features
from transmamba_mm.transfer.features.model_match import ModelMatch


def records():
    return Features(logits=torch.randn(4, 10)), Features(logits=torch.randn(4, 10))


def test_soft_and_hard():
    student, teacher = records()
    soft = LogitsDistiller(ModelMatch(), temperature=3, weight=0.25)(student, teacher)
    hard = LogitsDistiller(ModelMatch(), kind='hard', weight=2)(student, teacher)
    assert soft == {'logits_loss': 0.25 * soft_label_loss(student.logits, teacher.logits, 3)}
    assert hard == {'logits_loss': 2 * hard_label_loss(student.logits, teacher.logits)}


def test_has_nothing_to_train_and_asks_for_no_features():
    distiller = DISTILLERS.build({'type': 'LogitsDistiller', 'match': ModelMatch()})
    assert not list(distiller.parameters())
    assert distiller.student_kinds == distiller.teacher_kinds == {FeatureKind.LOGITS}


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'kind': 'warm'}, "kind='warm' .*soft, hard"),
        ({'temperature': 0}, 'temperature=0'),
        ({'task_weight': 1.5}, 'task_weight=1.5'),
    ],
)
def test_bad_settings(kwargs, message):
    with pytest.raises(UserError, match=message):
        LogitsDistiller(ModelMatch(), **kwargs)
