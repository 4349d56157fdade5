import pytest
import torch

from transmamba_mm.distillers.weighting import WEIGHTINGS, layer_weights


def test_ratio_is_the_formula_of_the_paper_over_n():
    cosines = torch.tensor([0.5, 0.25])
    # w_i = sum_j cos_j / cos_i: 0.75 / 0.5 and 0.75 / 0.25, each over n = 2
    torch.testing.assert_close(layer_weights(cosines, 'ratio', 1), torch.tensor([0.75, 1.5]))


def test_ratio_clamps_what_it_divides_by():
    cosines = torch.tensor([-0.3, 0.5])  # counts as 0.1, 0.5: mean 0.3
    torch.testing.assert_close(layer_weights(cosines, 'ratio', 1), torch.tensor([3.0, 0.6]))


def test_softmax_by_hand():
    weights = layer_weights(torch.tensor([0.5, 0.25]), 'softmax', 0.25)
    # softmax of (2, 3): 1 / (1 + e) = 0.2689; times n = 2
    torch.testing.assert_close(weights, torch.tensor([0.5379, 1.4621]), atol=1e-4, rtol=0)


def test_uniform():
    assert layer_weights(torch.tensor([0.5, -0.25]), 'uniform', 1).tolist() == [1, 1]


@pytest.mark.parametrize('weighting', WEIGHTINGS)
def test_equal_layers_weigh_one_each_and_nothing_flows_back(weighting):
    cosines = torch.full((5,), 0.4, requires_grad=True)
    weights = layer_weights(cosines, weighting, 0.25)
    torch.testing.assert_close(weights, torch.ones(5))
    assert not weights.requires_grad


@pytest.mark.parametrize('weighting', ['ratio', 'softmax'])
def test_the_layer_that_lags_gets_more(weighting):
    weights = layer_weights(torch.tensor([0.9, 0.2, 0.6]), weighting, 0.25)
    assert weights.argsort(descending=True).tolist() == [1, 2, 0]
