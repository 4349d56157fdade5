import math

import pytest
import torch
import torch.nn.functional as F

from tests.transfer.small_models import vim_config, vit_config
from tests.transfer.test_knowledge_transfer import build, train
from transmamba_mm.distillers import OFA
from transmamba_mm.distillers.label_losses import enhanced_label_loss
from transmamba_mm.distillers.ofa import LogitsExit
from transmamba_mm.errors import UserError
from transmamba_mm.transfer.features.features import TokenFeature
from transmamba_mm.transfer.features.model_match import LayerMatch, ModelMatch

MATCH = ModelMatch(layers=[LayerMatch(i, i, 8, 8) for i in range(6)], num_classes=3)


def test_the_loss_by_hand():
    # p = (1/4, 3/4), q = (1/2, 1/2), true class 0, gamma 2:
    # targets (5/4)^2 - 1 = 9/16 and (3/4)^2 = 9/16, so 18/16 * ln 2
    teacher, student = torch.tensor([[0.0, math.log(3)]]), torch.zeros(1, 2)
    loss = enhanced_label_loss(student, teacher, torch.tensor([0]), 2)
    assert loss.item() == pytest.approx(18 / 16 * math.log(2))


def test_with_gamma_1_it_is_the_cross_entropy_with_soft_labels():
    student, teacher = torch.randn(2, 5, 4).unbind()
    expected = F.cross_entropy(student, teacher.softmax(-1))
    found = enhanced_label_loss(student, teacher, torch.tensor([0, 1, 2, 3, 0]), 1)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ('num_exits', 'layers', 'blocks'),
    [(4, (1, 2, 4, 5), [3, 2, 1, 1]), (1, (5,), [1]), (6, (0, 1, 2, 3, 4, 5), [5, 4, 3, 2, 1, 1])],
)
def test_exits_are_spread_over_the_depth(num_exits, layers, blocks):
    distiller = OFA(MATCH, num_exits=num_exits)
    assert distiller.compared_layers == layers
    assert [len(exit_.blocks) for exit_ in distiller.exits] == blocks


@pytest.mark.parametrize('grid', [(3, 4), (14, 14), (4, 8, 8)], ids=str)
@pytest.mark.parametrize('has_cls', [False, True])
def test_an_exit_reads_all_tokens(grid, has_cls):
    exit_ = LogitsExit(8, 3, 1)
    patches = torch.randn(2, math.prod(grid), 8, requires_grad=True)
    cls = torch.randn(2, 8, requires_grad=True) if has_cls else None
    exit_(TokenFeature(patches, cls, grid)).sum().backward()
    assert all((x.grad.abs().sum(-1) > 0).all() for x in (patches, cls) if x is not None)


@pytest.mark.parametrize('mixed', [False, True])
def test_a_training_with_it(mixed):
    student = vim_config(layers=4)
    if mixed:
        student['data_preprocessor'] = {'num_classes': 10, 'to_onehot': True}
        student['train_cfg'] = {'augments': [{'type': 'Mixup', 'alpha': 1.0}]}
        student['head']['loss'] = {'type': 'CrossEntropyLoss', 'use_soft': True}
    model = build(student, vit_config(layers=4), distiller={'type': 'OFA', 'num_exits': 2})
    logs = train(model)
    assert {'exit0_loss', 'exit1_loss', 'logits_loss', 'task_loss'} < logs[0].keys()
    assert mixed or all(logs[-1][key] < logs[0][key] for key in logs[0] if 'loss' in key)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'num_exits': 7}, 'num_exits=7 of OFA, .*6 student layers'),
        ({'gamma': 0.5}, r'gamma=0.5 of OFA .*\[1, inf\)'),
        ({'match': ModelMatch(layers=MATCH.layers)}, 'no classifier'),
        ({'match': ModelMatch(num_classes=3)}, 'layer_map matches no student layer'),
    ],
    ids=['exits', 'gamma', 'classes', 'layers'],
)
def test_bad_settings(settings, message):
    with pytest.raises(UserError, match=message):
        OFA(**{'match': MATCH, **settings})
