from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from transmamba_mm.distillers import WSAB
from transmamba_mm.distillers.label_losses import soft_label_loss
from transmamba_mm.distillers.similarity import (
    affinity_distance,
    embedding_distance,
    token_cosine,
)
from transmamba_mm.distillers.weighting import WEIGHTINGS, layer_weights
from transmamba_mm.errors import UserError
from transmamba_mm.transfer.features.features import FeatureKind, Features, TokenFeature
from transmamba_mm.transfer.features.model_match import EmbeddingMatch, LayerMatch, ModelMatch

MATCH = ModelMatch(layers=[LayerMatch(1, 0, 6, 8, 2), LayerMatch(3, 1, 6, 8, 2)])
PAPER = {
    'layer_weight': 0,
    'logits_weight': 0,
    'weighting': 'ratio',
    'reduction': 'sum',
    'projector': 'pad_mlp',
}


def record(dims, grid=(3, 4), directions=0, cls=True, batch=4):
    tokens = grid[0] * grid[1]
    patches = [torch.randn(batch, tokens, dims) for _ in MATCH.layers]
    cls_tokens = [torch.randn(batch, dims) if cls else None for _ in MATCH.layers]
    apart = [torch.randn(batch, directions, tokens, dims) for _ in MATCH.layers]
    return Features(
        layer_features=[
            TokenFeature(*pair, grid) for pair in zip(patches, cls_tokens, strict=True)
        ],
        direction_features=[TokenFeature(part, None, grid) for part in apart],
        logits=torch.randn(batch, 10),
    )


@pytest.fixture
def student():
    torch.manual_seed(0)
    return record(6, directions=2)


@pytest.fixture
def teacher():
    torch.manual_seed(1)
    return record(8)


def parts(outputs):
    return {key for key in outputs if 'loss' in key}


def test_keys(student, teacher):
    outputs = WSAB(MATCH)(student, teacher)
    assert parts(outputs) == {'layer_loss', 'direction0_loss', 'direction1_loss', 'logits_loss'}
    assert outputs.keys() - parts(outputs) == {
        *('layer01_cos', 'layer01_weight', 'layer03_cos', 'layer03_weight'),
        *('direction0_cos', 'direction1_cos'),
    }
    assert all(value.ndim == 0 for value in outputs.values())
    assert {key for key, value in outputs.items() if value.requires_grad} == (
        parts(outputs) - {'logits_loss'}  # these logits are no student's
    )


@pytest.mark.parametrize(
    ('off', 'left'),
    [
        ({'layer_weight': 0}, {'direction0_loss', 'direction1_loss', 'logits_loss'}),
        ({'direction_weight': 0}, {'layer_loss', 'logits_loss'}),
        ({'logits_weight': 0}, {'layer_loss', 'direction0_loss', 'direction1_loss'}),
        ({'layer_weight': 0, 'direction_weight': 0}, {'logits_loss'}),
        (PAPER, {'direction0_loss', 'direction1_loss'}),
    ],
    ids=['no-layers', 'no-directions', 'no-logits', 'only-logits', 'paper'],
)
def test_every_part_can_be_switched_off_with_its_parameters(off, left, student, teacher):
    distiller = WSAB(MATCH, **off)
    outputs = distiller(student, teacher)
    assert parts(outputs) == left
    sum(outputs[key] for key in left).requires_grad_().backward()
    assert all(p.grad is not None for p in distiller.parameters())  # DDP needs every one used


def test_layer_term_by_hand(student, teacher):
    settings = {'direction_weight': 0, 'logits_weight': 0, 'cls_token': False}
    outputs = WSAB(MATCH, task_weight=0.2, layer_weight=3, **settings)(student, teacher)
    cosines = torch.stack(
        [
            token_cosine(
                F.layer_norm(F.pad(ours.patches, (0, 2)), (8,)), F.layer_norm(theirs.patches, (8,))
            )
            for ours, theirs in zip(student.layer_features, teacher.layer_features, strict=True)
        ]
    )
    weights = layer_weights(cosines, 'ratio', 1)
    expected = 0.8 * 3 * (weights[0] * (1 - cosines[0]) + weights[1] * (1 - cosines[1])) / 2
    torch.testing.assert_close(outputs['layer_loss'], expected)
    torch.testing.assert_close(outputs['layer03_cos'], cosines[1])
    torch.testing.assert_close(outputs['layer03_weight'], weights[1])


def at_cosines(*cosines):
    """Features of student and teacher, one token a layer, with these cosines."""
    first, second = torch.tensor([[1.0, -1, 0, 0], [0, 0, 1, -1]])  # of mean 0, orthogonal
    ours = [cos * first + (1 - cos**2) ** 0.5 * second for cos in cosines]
    student, teacher = (
        [TokenFeature(tokens.view(1, 1, 4), None, (1, 1)) for tokens in side]
        for side in (ours, [first] * len(cosines))
    )
    directions = [replace(layer, patches=layer.patches[:, None]) for layer in student]
    return Features(student, directions), Features(teacher)


@pytest.mark.parametrize(
    ('reduction', 'weights', 'loss'),
    [
        # sum_i sum_j (cos_j / cos_i) (1 - cos_i) = 0.75 / 0.5 * 0.5 + 0.75 / 0.25 * 0.75
        ('sum', [1.5, 3.0], 3.0),
        ('mean', [0.75, 1.5], 0.75),
    ],
)
def test_reductions_by_hand(reduction, weights, loss):
    match = ModelMatch(layers=[LayerMatch(0, 0, 4, 4, 1), LayerMatch(1, 1, 4, 4, 1)])
    distiller = WSAB(match, task_weight=0.2, logits_weight=0, reduction=reduction)
    outputs = distiller(*at_cosines(0.5, 0.25))
    found = {key: value.item() for key, value in outputs.items()}
    assert found == pytest.approx(
        {
            'layer_loss': 0.8 * loss,
            'direction0_loss': 0.8 * loss,
            'layer00_cos': 0.5,
            'layer01_cos': 0.25,
            'layer00_weight': weights[0],
            'layer01_weight': weights[1],
            'direction0_cos': 0.375,
        },
        rel=1e-4,
    )


def test_affinity_term(student, teacher):
    settings = {'direction_weight': 0, 'logits_weight': 0, 'layer_weight': 0}
    distiller = WSAB(MATCH, task_weight=0.2, affinity_weight=3, **settings)
    assert not list(distiller.parameters())
    distances = [
        affinity_distance(ours.patches, theirs.patches)
        for ours, theirs in zip(student.layer_features, teacher.layer_features, strict=True)
    ]
    expected = {'affinity_loss': 0.8 * 3 * (distances[0] + distances[1]) / 2}
    torch.testing.assert_close(distiller(student, teacher), expected)


def test_embedding_term(student, teacher):
    match = replace(MATCH, embeddings=[EmbeddingMatch('backbone', 8, 8)])
    student.embeddings, teacher.embeddings = (
        {'backbone': embeddings} for embeddings in torch.randn(2, 4, 8).unbind()
    )
    distiller = WSAB(match, embedding_weight=0.5)
    expected = 0.5 * embedding_distance(
        student.embeddings['backbone'], teacher.embeddings['backbone']
    )
    torch.testing.assert_close(distiller(student, teacher)['backbone_embedding_loss'], expected)
    narrow = replace(MATCH, embeddings=[EmbeddingMatch('backbone', 6, 8)])
    with pytest.raises(UserError, match=r'embedding_weight=0.5 .* 6 channels .* 8: .*LinearNeck'):
        WSAB(narrow, embedding_weight=0.5)
    WSAB(narrow)


def test_logits_term(student, teacher):
    settings = {'layer_weight': 0, 'direction_weight': 0}
    outputs = WSAB(ModelMatch(), logits_weight=0.7, temperature=3, **settings)(student, teacher)
    expected = 0.7 * soft_label_loss(student.logits, teacher.logits, 3)
    torch.testing.assert_close(outputs['logits_loss'], expected)


def test_cls_token_is_one_more_token_where_both_have_one(student, teacher):
    def cosine(**kwargs):
        return WSAB(MATCH, **kwargs)(student, teacher)['layer01_cos']

    patches, both = cosine(cls_token=False), cosine(cls_token=True)
    for features in (student, teacher):
        layer = features.layer_features[0]
        layer.patches, layer.grid = layer.cls.unsqueeze(1), (1, 1)
        direction = features.direction_features[0]
        direction.patches, direction.grid = direction.patches[:, :, :1], (1, 1)
    cls = cosine(cls_token=False)
    torch.testing.assert_close(both, (12 * patches + cls) / 13)
    teacher.layer_features[0].cls = None
    assert cosine(cls_token=True) == cosine(cls_token=False)


def permute(features, order):
    return [replace(feature, patches=feature.patches[..., order, :]) for feature in features]


def test_permuting_records_to_a_scan_order_changes_no_direction_term(student, teacher):
    distiller = WSAB(MATCH, layer_weight=0, logits_weight=0)
    canonical = distiller(student, teacher)
    for k, order in enumerate([torch.arange(12), torch.arange(12).flip(0)]):
        permuted_student = Features(direction_features=permute(student.direction_features, order))
        permuted_teacher = Features(layer_features=permute(teacher.layer_features, order))
        permuted = distiller(permuted_student, permuted_teacher)
        torch.testing.assert_close(permuted[f'direction{k}_loss'], canonical[f'direction{k}_loss'])


def test_a_share_of_the_tokens_has_the_same_cosines_on_average(student, teacher):
    whole, sampled = (WSAB(MATCH, cls_token=False, token_share=share) for share in (1, 0.25))
    sampled.load_state_dict(whole.state_dict())
    expected = whole(student, teacher)
    outputs = [sampled(student, teacher) for _ in range(400)]
    for key in ('layer01_cos', 'layer03_cos', 'direction0_cos', 'direction1_cos'):
        drawn = torch.stack([output[key] for output in outputs])
        error = drawn.std() / len(drawn) ** 0.5
        assert 0 < error < 0.01
        assert abs(drawn.mean() - expected[key]) < 4 * error


@pytest.mark.parametrize(('share', 'tokens'), [(1, 12), (0.25, 3), (0.2, 3), (1e-9, 1)])
def test_only_drawn_tokens_are_compared(share, tokens, student, teacher):
    feature = student.layer_features[0]
    patches = feature.patches.clone().requires_grad_()
    student.layer_features[0] = replace(feature, patches=patches)
    WSAB(MATCH, cls_token=False, token_share=share)(student, teacher)['layer_loss'].backward()
    assert (patches.grad.abs().sum((0, 2)) > 0).sum() == tokens


@pytest.mark.parametrize('grid', [(6, 8), (2, 2), (1, 1)], ids=str)
def test_teacher_on_another_grid(grid, student):
    outputs = WSAB(MATCH)(student, record(8, grid))
    assert all(torch.isfinite(value) for value in outputs.values())


@pytest.mark.parametrize('grid', [(6, 8), (2, 2)], ids=str)
def test_a_teacher_with_equal_tokens_has_them_on_every_grid(grid, student, teacher):
    other = record(8, grid)
    other.logits = teacher.logits
    for one, two in zip(teacher.layer_features, other.layer_features, strict=True):
        one.patches = one.patches[:, :1].expand(-1, 12, -1)
        two.patches = one.patches[:, :1].expand(-1, grid[0] * grid[1], -1)
        two.cls = one.cls
    distiller = WSAB(MATCH)
    torch.testing.assert_close(distiller(student, other), distiller(student, teacher))


@pytest.mark.parametrize('weighting', WEIGHTINGS)
@pytest.mark.parametrize('projector', ['linear', 'mlp', 'pad_mlp'])
def test_loss_falls(weighting, projector, student, teacher):
    distiller = WSAB(MATCH, weighting=weighting, projector=projector)
    tokens = [f.patches for f in student.layer_features + student.direction_features]
    features = [f.requires_grad_() for f in [*tokens, student.logits]]
    optimizer = torch.optim.Adam([*distiller.parameters(), *features], lr=0.02)
    totals = []
    for _ in range(10):
        outputs = distiller(student, teacher)
        totals.append(sum(outputs[key] for key in parts(outputs)))
        optimizer.zero_grad()
        totals[-1].backward()
        optimizer.step()
    assert totals[-1] < 0.9 * totals[0]


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'weighting': 'cosine'}, 'ratio, softmax, uniform'),
        ({'reduction': 'max'}, 'mean, sum'),
        ({'projector': 'conv'}, 'linear, mlp, pad_mlp'),
        ({'temperature': 0}, r'temperature=0 .* in \(0, inf\)'),
        ({'tau': -1}, r'tau=-1 .* in \(0, inf\)'),
        ({'layer_weight': -1}, 'layer_weight=-1'),
        ({'task_weight': 2}, 'task_weight=2'),
        ({'task_weight': 1}, 'task_weight=1'),
        ({'mask_ratio': 1}, r'mask_ratio=1 .* in \[0, 0.95\]'),
        (
            {'mask_ratio': 0.5, 'layer_weight': 0, 'direction_weight': 0},
            'mask_ratio=0.5 of WSAB .*no features of layers',
        ),
        ({'match': ModelMatch()}, 'layer_map matches no student layer'),
        ({'match': ModelMatch(layers=[LayerMatch(0, 0, 6, 8)])}, 'direction_weight=0'),
    ],
)
def test_bad_settings(kwargs, message):
    with pytest.raises(UserError, match=message):
        WSAB(**{'match': MATCH, **kwargs})


@pytest.mark.parametrize(
    ('off', 'student_kinds', 'teacher_kinds'),
    [
        ({}, {'layer_features', 'direction_features', 'logits'}, {'layer_features', 'logits'}),
        (PAPER, {'direction_features'}, {'layer_features'}),
        ({'layer_weight': 0, 'direction_weight': 0}, {'logits'}, {'logits'}),
    ],
    ids=['all', 'paper', 'logits'],
)
def test_kinds_of_features(off, student_kinds, teacher_kinds):
    distiller = WSAB(MATCH, **off)
    assert distiller.student_kinds == {FeatureKind(kind) for kind in student_kinds}
    assert distiller.teacher_kinds == {FeatureKind(kind) for kind in teacher_kinds}


def test_unavailable_logits_are_left_out(student, teacher, caplog):
    match = replace(MATCH, unavailable={FeatureKind.LOGITS: 'the vocabularies differ'})
    distiller = WSAB(match)
    assert 'logits_loss' not in distiller(student, teacher)
    with pytest.raises(UserError, match=r'logits alone, but the vocabularies differ'):
        WSAB(match, layer_weight=0, direction_weight=0)
