import pytest
import torch

from tests.transfer.test_knowledge_transfer import build, train
from transmamba_mm.distillers import FitNets
from transmamba_mm.errors import UserError
from transmamba_mm.transfer.features.features import FeatureKind, Features, TokenFeature
from transmamba_mm.transfer.features.model_match import LayerMatch, ModelMatch
from transmamba_mm.transfer.progress import Progress

MATCH = ModelMatch(layers=[LayerMatch(i, i, 2, 2) for i in (1, 3, 5, 7)])


def features(tokens, grid=(1, 2)):
    return Features([TokenFeature(torch.tensor([tokens]), None, grid)])


def test_the_hint_by_hand():
    distiller = FitNets(MATCH, logits_weight=0, hint_weight=3)
    torch.nn.init.eye_(distiller.regressor.weight)
    torch.nn.init.constant_(distiller.regressor.bias, 1)
    student = features([[0.0, 1.0], [2.0, 0.0]])  # becomes (1, 2), (3, 1)
    teacher = features([[1.0, 0.0], [3.0, 3.0]])  # squares 0, 4, 0, 4: half of their mean is 1
    assert distiller(student, teacher)['hint_loss'].item() == pytest.approx(3.0)


def test_one_layer_is_compared_the_middle_one_by_default():
    assert FitNets(MATCH).compared_layers == (1,)
    assert FitNets(MATCH, guided_layer=7).compared_layers == (3,)
    ended = FitNets(MATCH, feature_end=0.5)
    ended.progress = Progress(5, 10)
    assert ended.compared_layers == ()
    assert FitNets(MATCH).student_kinds == {FeatureKind.LAYER_FEATURES, FeatureKind.LOGITS}


def test_a_training_with_it():
    model = build(distiller={'type': 'FitNets', 'guided_layer': 2})
    logs = train(model)
    assert {'hint_loss', 'logits_loss', 'task_loss'} < logs[0].keys()
    assert logs[-1]['hint_loss'] < logs[0]['hint_loss'] and logs[-1]['loss'] < logs[0]['loss']


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'guided_layer': 2}, 'guided_layer=2 of FitNets .*1, 3, 5, 7'),
        ({'hint_weight': 0}, 'hint_weight=0'),
        ({'match': ModelMatch()}, 'layer_map matches no student layer'),
    ],
    ids=str,
)
def test_bad_settings(settings, message):
    with pytest.raises(UserError, match=message):
        FitNets(**{'match': MATCH, **settings})
