import pytest
import torch
import torch.nn.functional as F

from transmamba_mm.distillers.similarity import (
    affinity_distance,
    embedding_distance,
    token_affinity,
    token_cosine,
)
from transmamba_mm.models import Vim


def test_by_hand():
    student = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])
    teacher = torch.tensor([[[2.0, 0.0], [0.0, 3.0]]])
    torch.testing.assert_close(token_cosine(student, teacher), torch.tensor((1 + 0.5**0.5) / 2))


def test_permuting_both_sides_to_any_scan_order_gives_the_same_number():
    order = Vim('nano', img_size=8, patch_size=2, in_channels=1).directions((3, 4))  # (K, L)
    student, teacher = torch.randn(2, 3, 12, 8, dtype=torch.float64).unbind()
    canonical = token_cosine(student, teacher)
    for visit in order:
        torch.testing.assert_close(token_cosine(student[:, visit], teacher[:, visit]), canonical)
    # and it is no accident of the numbers: permuting one side alone does change it
    assert (token_cosine(student[:, order[1]], teacher) - canonical).abs() > 1e-3


def test_mean_squared_error_of_normalized_features_is_twice_the_distance():
    student, teacher = (F.layer_norm(x, (32,)) for x in torch.randn(2, 3, 5, 32).unbind())
    expected = 2 * (1 - token_cosine(student, teacher))
    torch.testing.assert_close(F.mse_loss(student, teacher), expected, atol=1e-4, rtol=1e-4)


def test_float32_inside_autocast():
    student, teacher = torch.randn(2, 3, 5, 32, dtype=torch.bfloat16).unbind()
    with torch.autocast('cpu', torch.bfloat16):
        cosine = token_cosine(student, teacher)
    assert cosine.dtype == torch.float32
    torch.testing.assert_close(cosine, token_cosine(student.float(), teacher.float()))


def test_affinities_by_hand():
    # cosines of three tokens: 1 with itself, 0 and 1/sqrt(2) with the others
    tokens = torch.tensor([[[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]]])
    root = 0.5**0.5
    expected = torch.tensor([[[1, 0, root], [0, 1, root], [root, root, 1]]])
    torch.testing.assert_close(token_affinity(tokens), expected)
    # a teacher of another width, whose tokens are all alike: squares 2 * 1 and 4 * (1 - root)^2
    distance = affinity_distance(tokens, torch.ones(1, 3, 5))
    assert distance.item() == pytest.approx((2 + 4 * (1 - root) ** 2) / 9)


def test_affinities_do_not_change_with_a_rotation():
    tokens = torch.randn(2, 7, 6)
    rotation = torch.linalg.qr(torch.randn(6, 6))[0]
    assert affinity_distance(tokens, 3 * tokens @ rotation).item() == pytest.approx(0, abs=1e-10)


def test_embeddings_by_hand():
    student = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    teacher = torch.tensor([[0.0, 1.0], [0.0, 4.0]])  # 2 / 1 and 4 / 16
    assert embedding_distance(student, teacher).item() == pytest.approx(1.125)
