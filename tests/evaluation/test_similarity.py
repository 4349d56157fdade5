"""Linear CKA: 1 for a rotation, 0 for what is unrelated, and one number per pair of layers."""

import pytest
import torch

from tests.transfer.small_models import trained, vim_config, vit_config
from transmamba_mm.evaluation.similarity import layer_similarity, linear_cka, record_layers


def test_cka_ignores_rotation_scale_and_shift():
    torch.manual_seed(0)
    x = torch.randn(100, 6)
    rotation, _ = torch.linalg.qr(torch.randn(6, 6))
    assert linear_cka(x, 3 * x @ rotation + 5) == pytest.approx(1, abs=1e-6)


def test_cka_of_unrelated_features_is_small():
    torch.manual_seed(0)
    assert linear_cka(torch.randn(2000, 4), torch.randn(2000, 8)) < 0.02


def test_cka_equals_its_definition_by_centered_gram_matrices():
    torch.manual_seed(0)
    x, y = torch.randn(30, 3, dtype=torch.double), torch.randn(30, 5, dtype=torch.double)
    center = torch.eye(30, dtype=torch.double) - 1 / 30
    k, m = center @ x @ x.T @ center, center @ y @ y.T @ center
    assert linear_cka(x, y) == pytest.approx(float((k * m).sum() / (k.norm() * m.norm())))


def test_every_pair_of_layers_also_across_grids():
    torch.manual_seed(0)
    images = torch.randn(4, 1, 8, 8)
    student = record_layers(trained(vim_config(layers=3, patch=2)), images)
    teacher = record_layers(trained(vit_config(layers=2, patch=4)), images)
    similarity = layer_similarity(student, teacher)
    assert similarity.shape == (3, 2)
    assert ((similarity > 0) & (similarity <= 1)).all()
    assert torch.allclose(layer_similarity(student, student).diagonal(), torch.ones(3))
