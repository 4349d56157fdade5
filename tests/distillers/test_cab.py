import math

import pytest
import torch
from torch import nn

from tests.transfer.small_models import batch, plainmamba_config
from tests.transfer.test_knowledge_transfer import build, train
from transmamba_mm.distillers import CAB
from transmamba_mm.errors import UserError
from transmamba_mm.transfer.features.features import Features, TokenFeature
from transmamba_mm.transfer.features.model_match import LayerMatch, ModelMatch

MATCH = ModelMatch(
    layers=[LayerMatch(0, 0, 8, 8, 1, student_key_dims=1, teacher_key_dims=2)], num_classes=3
)


class Twice(nn.Module):
    """A bridge that doubles its input for both channels."""

    def forward(self, x):
        return torch.cat([2 * x, 2 * x], dim=-1)


def test_the_bridge_by_hand():
    distiller = CAB(MATCH, logits_weight=0)
    distiller.key_bridges[0][0] = distiller.query_bridges[0][0] = Twice()
    # two tokens: B = 1/4 and 0, C = 1/2 and 1/4
    student = torch.tensor([[[[0.25, 0.5], [0.0, 0.25]]]])
    # keys (0, 0), (ln 3, 0): softmax over tokens (1/4, 1/2), (3/4, 1/2);
    # queries (0, 0), (0, ln 3): softmax over channels (1/2, 1/2), (1/4, 3/4)
    teacher = torch.tensor([[[0.0, 0, 0, 0], [math.log(3), 0, 0, math.log(3)]]])
    sides = [
        Features(keys_queries=[TokenFeature(tokens, None, (1, 2))]) for tokens in (student, teacher)
    ]
    keys = ((1 / 2 - 1 / 4) ** 2 + 0 + (3 / 4) ** 2 + (1 / 2) ** 2) / 4
    queries = ((1 - 1 / 2) ** 2 * 2 + (1 / 2 - 1 / 4) ** 2 + (1 / 2 - 3 / 4) ** 2) / 4
    expected = pytest.approx(3 * (keys + queries))
    assert distiller(*sides)['bridge_loss'].item() == expected


def test_a_training_with_it():
    model = build(distiller={'type': 'CAB', 'task_weight': 0.1})
    before = model.student.backbone.blocks[1].mixer.fwd.x_proj.weight.clone()
    logs = train(model)
    assert {'bridge_loss', 'logits_loss', 'task_loss'} < logs[0].keys()
    assert all(logs[-1][key] < logs[0][key] for key in logs[0] if 'loss' in key)
    assert not torch.equal(before, model.student.backbone.blocks[1].mixer.fwd.x_proj.weight)


def test_the_bridge_trains_b_and_c():
    model = build(distiller={'type': 'CAB', 'logits_weight': 0})
    losses = model(**model.data_preprocessor(batch(), training=True), mode='loss')
    model.parse_losses(losses)[0].backward()
    mixer = model.student.backbone.blocks[2].mixer
    for direction in (mixer.fwd, mixer.bwd):
        rank = mixer.dt_rank  # the rows of dt are the task's, which weighs nothing
        gradient = direction.x_proj.weight.grad
        assert (gradient[:rank] == 0).all() and (gradient[rank:] != 0).any(dim=1).all()


def test_families_without_keys_are_refused():
    with pytest.raises(UserError, match=r'CAB .* student layer 0 or teacher layer 0 has none'):
        build(plainmamba_config(), distiller={'type': 'CAB'})
