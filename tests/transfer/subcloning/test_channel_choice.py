import pytest
import torch

from transmamba_mm.transfer.subcloning.channel_choice import ChannelChoice

IMPORTANCE = torch.tensor([3.0, 1.0, 4.0, 1.0, 5.0])


@pytest.mark.parametrize(
    'num_student, tile, sources, kind',
    [
        (2, False, [2, 4], 'sliced'),
        (4, True, [0, 1, 2, 4], 'sliced'),
        (5, False, [0, 1, 2, 3, 4], 'cloned'),
        (7, False, [0, 1, 2, 3, 4], 'padded'),
        (7, True, [0, 1, 2, 3, 4, 2, 4], 'tiled'),
        (10, True, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4], 'tiled'),
    ],
)
def test_choice(num_student, tile, sources, kind):
    choice = ChannelChoice.most_important(IMPORTANCE, num_student, tile)
    assert choice.sources.tolist() == sources
    assert choice.kind == kind
    assert str(num_student) in str(choice)


@pytest.mark.parametrize('num_inner', [5, 7, 10, 13])
def test_tiling_preserves_the_composition(num_inner):
    torch.manual_seed(0)
    value, output = torch.randn(5, 6).double(), torch.randn(6, 5).double()
    choice = ChannelChoice.most_important(IMPORTANCE, num_inner, tile=True)
    inner = choice.take(value, 0, fan_in=False)
    outer = choice.take(output, 1, fan_in=True)
    assert inner.shape == (num_inner, 6) and outer.shape == (6, num_inner)
    torch.testing.assert_close(outer @ inner, output @ value)


def test_sliced_fan_in_keeps_the_variance_and_sliced_fan_out_the_values():
    torch.manual_seed(0)
    weight, x = torch.randn(40, 96), torch.randn(2000, 96)
    choice = ChannelChoice.most_important(torch.randn(96), 32)
    sliced = choice.take(weight, 1, fan_in=True)
    before = (x @ weight.T).var(0).mean()
    assert (x[:, choice.sources] @ sliced.T).var(0).mean() / before == pytest.approx(1, abs=0.03)
    assert torch.equal(choice.take(weight, 1, fan_in=False), weight[:, choice.sources])


def test_sliced_fan_in_of_channels_that_are_not_alike_keeps_the_variance():
    torch.manual_seed(0)
    sizes = torch.rand(96) * 5
    weight, x = torch.randn(40, 96), sizes * torch.randn(2000, 96)
    choice = ChannelChoice.most_important(sizes, 32, sizes=sizes)
    sliced = choice.take(weight, 1, fan_in=True)
    before = (x @ weight.T).var(0).mean()
    assert (x[:, choice.sources] @ sliced.T).var(0).mean() / before == pytest.approx(1, abs=0.05)


def test_a_fan_in_of_zeros_stays_zero():
    choice = ChannelChoice.most_important(IMPORTANCE, 2)
    assert torch.equal(choice.take(torch.zeros(3, 5), 1, fan_in=True), torch.zeros(3, 2))
