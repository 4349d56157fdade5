import pytest
import torch
import torch.nn.functional as F

from transmamba_mm.distillers import WSAB
from transmamba_mm.distillers.label_losses import soft_label_loss
from transmamba_mm.distillers.similarity import token_cosine
from transmamba_mm.distillers.weighting import WEIGHTINGS, layer_weights
from transmamba_mm.errors import UserError
from transmamba_mm.transfer.features.features import Features, LayerMatch

PAIRS = [LayerMatch(1, 0, 6, 8, 2), LayerMatch(3, 1, 6, 8, 2)]
PAPER = {'layer_weight': 0, 'logits_weight': 0, 'weighting': 'ratio', 'projector': 'pad_mlp'}


def record(dims, grid=(3, 4), directions=0, cls=True, batch=4):
    tokens = grid[0] * grid[1]
    return Features(
        patches=[torch.randn(batch, tokens, dims) for _ in PAIRS],
        cls=[torch.randn(batch, dims) if cls else None for _ in PAIRS],
        grids=[grid for _ in PAIRS],
        directions=[torch.randn(batch, directions, tokens, dims) for _ in PAIRS],
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
    outputs = WSAB(PAIRS)(student, teacher)
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
    distiller = WSAB(PAIRS, **off)
    outputs = distiller(student, teacher)
    assert parts(outputs) == left
    sum(outputs[key] for key in left).requires_grad_().backward()
    assert all(p.grad is not None for p in distiller.parameters())  # DDP needs every one used


def test_layer_term_by_hand(student, teacher):
    settings = {'direction_weight': 0, 'logits_weight': 0, 'cls_token': False}
    outputs = WSAB(PAIRS, task_weight=0.2, layer_weight=3, **settings)(student, teacher)
    cosines = torch.stack(
        [
            token_cosine(F.layer_norm(F.pad(ours, (0, 2)), (8,)), F.layer_norm(theirs, (8,)))
            for ours, theirs in zip(student.patches, teacher.patches, strict=True)
        ]
    )
    weights = layer_weights(cosines, 'ratio', 1)
    expected = 0.8 * 3 * (weights[0] * (1 - cosines[0]) + weights[1] * (1 - cosines[1])) / 2
    torch.testing.assert_close(outputs['layer_loss'], expected)
    torch.testing.assert_close(outputs['layer03_cos'], cosines[1])
    torch.testing.assert_close(outputs['layer03_weight'], weights[1])


def test_logits_term(student, teacher):
    settings = {'layer_weight': 0, 'direction_weight': 0}
    outputs = WSAB([], logits_weight=0.7, temperature=3, **settings)(student, teacher)
    expected = 0.7 * soft_label_loss(student.logits, teacher.logits, 3)
    torch.testing.assert_close(outputs['logits_loss'], expected)


def test_cls_token_is_one_more_token_where_both_have_one(student, teacher):
    def cosine(**kwargs):
        return WSAB(PAIRS, **kwargs)(student, teacher)['layer01_cos']

    patches, both = cosine(cls_token=False), cosine(cls_token=True)
    student.patches[0], teacher.patches[0] = (r.cls[0].unsqueeze(1) for r in (student, teacher))
    student.directions[0] = student.directions[0][:, :, :1]
    student.grids[0] = teacher.grids[0] = (1, 1)
    cls = cosine(cls_token=False)
    torch.testing.assert_close(both, (12 * patches + cls) / 13)
    teacher.cls[0] = None
    assert cosine(cls_token=True) == cosine(cls_token=False)


def test_permuting_records_to_a_scan_order_changes_no_direction_term(student, teacher):
    distiller = WSAB(PAIRS, layer_weight=0, logits_weight=0)
    canonical = distiller(student, teacher)
    for k, order in enumerate([torch.arange(12), torch.arange(12).flip(0)]):
        permuted_student = Features(
            directions=[d[:, :, order] for d in student.directions], grids=student.grids
        )
        permuted_teacher = Features(
            patches=[p[:, order] for p in teacher.patches], grids=teacher.grids
        )
        permuted = distiller(permuted_student, permuted_teacher)
        torch.testing.assert_close(permuted[f'direction{k}_loss'], canonical[f'direction{k}_loss'])


@pytest.mark.parametrize('grid', [(6, 8), (2, 2), (1, 1)], ids=str)
def test_teacher_on_another_grid(grid, student):
    outputs = WSAB(PAIRS)(student, record(8, grid))
    assert all(torch.isfinite(value) for value in outputs.values())


@pytest.mark.parametrize('grid', [(6, 8), (2, 2)], ids=str)
def test_a_teacher_that_says_one_thing_everywhere_says_it_on_every_grid(grid, student, teacher):
    other = record(8, grid)
    other.cls, other.logits = teacher.cls, teacher.logits
    for i in range(len(PAIRS)):
        teacher.patches[i] = teacher.patches[i][:, :1].expand(-1, 12, -1)
        other.patches[i] = teacher.patches[i][:, :1].expand(-1, grid[0] * grid[1], -1)
    distiller = WSAB(PAIRS)
    torch.testing.assert_close(distiller(student, other), distiller(student, teacher))


@pytest.mark.parametrize('weighting', WEIGHTINGS)
@pytest.mark.parametrize('projector', ['linear', 'mlp', 'pad_mlp'])
def test_loss_falls(weighting, projector, student, teacher):
    distiller = WSAB(PAIRS, weighting=weighting, projector=projector)
    features = [f.requires_grad_() for f in student.patches + student.directions + [student.logits]]
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
        ({'projector': 'conv'}, 'linear, mlp, pad_mlp'),
        ({'temperature': 0}, r'temperature=0 .* in \(0, inf\)'),
        ({'tau': -1}, r'tau=-1 .* in \(0, inf\)'),
        ({'layer_weight': -1}, 'layer_weight=-1'),
        ({'task_weight': 2}, 'task_weight=2'),
        ({'task_weight': 1}, 'leaves nothing to features'),
        ({'pairs': []}, 'layer_map matches no student layer'),
        ({'pairs': [LayerMatch(0, 0, 6, 8)]}, 'direction_weight=0'),
    ],
)
def test_bad_settings(kwargs, message):
    with pytest.raises(UserError, match=message):
        WSAB(**{'pairs': PAIRS, **kwargs})
