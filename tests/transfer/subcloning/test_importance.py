import pytest
import torch

from transmamba_mm.errors import UserError
from transmamba_mm.transfer.subcloning.importance import magnitude, stability


def test_magnitude_counts_tensors_alike_whatever_their_scale():
    loud = torch.tensor([[1000.0, -3000.0]])
    quiet = torch.tensor([[0.3, 0.1], [0.3, 0.1]])
    torch.testing.assert_close(magnitude([(loud, 1), (quiet, 1)]), torch.ones(2).double())


def test_magnitude_is_per_channel_of_the_given_axis():
    tensor = torch.ones(3, 4, 2, 2)
    tensor[:, 1] = -3
    scores = magnitude([(tensor, 1), (torch.ones(4), 0)])
    assert scores.argmax() == 1
    assert scores.mean() == pytest.approx(1)


def test_stability_prefers_what_changed_little_for_its_size():
    before = torch.tensor([1.0, 10.0, 1.0]).expand(5, 3)
    after = before + torch.tensor([0.5, 1.0, 0.0])
    assert stability([(after, 1)], [before]).argsort(descending=True).tolist() == [2, 1, 0]


def test_a_channel_of_zeros_is_not_stable():
    before = torch.tensor([1.0, 0.0, 1.0]).expand(5, 3)
    after = before + torch.tensor([0.01, 0.0, 0.02])
    assert stability([(after, 1)], [before]).argmin() == 1


def test_stability_ignores_what_cannot_be_compared():
    before, after = torch.ones(2, 3), torch.tensor([1.0, 1.1, 1.2]).expand(2, 3)
    head = torch.randn(7, 3)
    scores = stability([(after, 1), (head, 1), (head, 1)], [before, torch.randn(9, 3), None])
    torch.testing.assert_close(scores, stability([(after, 1)], [before]))
    with pytest.raises(UserError, match=r'subcloning\.pretrained'):
        stability([(head, 1)], [None])
