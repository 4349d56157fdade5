import pytest
import torch
import torch.nn.functional as F
from torch import nn

from transmamba_mm.errors import UserError
from transmamba_mm.models.necks import LatentProjector

OURS = ('linear', 'mlp')
DIMS = [(6, 10), (10, 6), (8, 8)]


@pytest.mark.parametrize('kind', [*OURS, 'pad_mlp'])
@pytest.mark.parametrize('dims', DIMS, ids=lambda d: f'student{d[0]}-teacher{d[1]}')
def test_both_sides_get_one_width_and_every_parameter_a_gradient(kind, dims):
    projector = LatentProjector(*dims, kind)
    student, teacher = projector(torch.randn(2, 5, dims[0]), torch.randn(2, 5, dims[1]))
    assert student.shape == teacher.shape == (2, 5, max(dims) if kind == 'pad_mlp' else dims[1])
    (student * teacher).pow(2).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in projector.parameters())


@pytest.mark.parametrize('kind', OURS)
def test_the_teacher_side_is_fixed_and_normalized(kind):
    tokens = 3 + 5 * torch.randn(2, 5, 10)
    _, teacher = LatentProjector(6, 10, kind)(torch.randn(2, 5, 6), tokens)
    torch.testing.assert_close(teacher, F.layer_norm(tokens, (10,)))
    assert not teacher.requires_grad


@pytest.mark.parametrize('dims', DIMS, ids=lambda d: f'student{d[0]}-teacher{d[1]}')
def test_linear_starts_as_zero_padding(dims):
    tokens = torch.randn(2, 5, dims[0])
    student, _ = LatentProjector(*dims, 'linear')(tokens, torch.randn(2, 5, dims[1]))
    expected = F.layer_norm(F.pad(tokens, (0, dims[1] - dims[0])), (dims[1],))
    torch.testing.assert_close(student, expected)


def test_pad_mlp_sends_both_sides_through_one_mlp():
    projector = LatentProjector(6, 10, 'pad_mlp')
    tokens = torch.randn(2, 5, 6)
    student, teacher = projector(tokens, F.pad(tokens, (0, 4)))
    torch.testing.assert_close(student, teacher)


def train_on_a_constant_student(kind):
    """Cosine distance that a constant student reaches by training its projector."""
    torch.manual_seed(0)
    teacher = torch.randn(8, 16, 12)
    student = torch.ones(8, 16, 6)
    projector = LatentProjector(6, 12, kind)
    optimizer = torch.optim.Adam(projector.parameters(), lr=1e-2)
    for _ in range(200):
        distance = 1 - F.cosine_similarity(*projector(student, teacher), dim=-1).mean()
        optimizer.zero_grad()
        distance.backward()
        optimizer.step()
    return distance.item()


def test_the_paper_projector_can_cheat_by_collapsing():
    assert train_on_a_constant_student('pad_mlp') < 0.01


@pytest.mark.parametrize('kind', OURS)
def test_a_constant_student_cannot_win_against_a_fixed_teacher(kind):
    assert train_on_a_constant_student(kind) > 0.7


def test_unknown_kind():
    with pytest.raises(UserError, match='linear, mlp, pad_mlp'):
        LatentProjector(6, 10, 'lienar')


def test_is_a_registered_neck():
    from transmamba_mm.registry import MODELS

    neck = MODELS.build(
        {'type': 'LatentProjector', 'student_dims': 6, 'teacher_dims': 10, 'kind': 'mlp'}
    )
    assert isinstance(neck, nn.Module)
