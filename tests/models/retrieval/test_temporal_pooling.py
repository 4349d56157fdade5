"""A clip is what its real frames are."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transmamba_mm.errors import UserError
from transmamba_mm.models.retrieval.temporal_pooling import build_pooling

MAMBA = {'type': 'mamba', 'num_layers': 2, 'state_dims': 4}
TRANSFORMER = {'type': 'transformer', 'num_layers': 2, 'num_heads': 2, 'max_frames': 5}
every_pooling = pytest.mark.parametrize(
    'temporal', ['mean', MAMBA, TRANSFORMER], ids=['mean', 'mamba', 'transformer']
)


@every_pooling
@settings(deadline=None, max_examples=15)
@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=4))
def test_a_clip_is_its_real_frames_in_their_order(temporal, mask):
    torch.manual_seed(0)
    pooling, frames = build_pooling(temporal, 8), torch.randn(len(mask), 5, 8)
    mask = torch.tensor(mask)
    pooled = pooling(frames, mask)
    assert pooled.shape == (len(mask), 8)
    for row in range(len(mask)):
        real = frames[row, mask[row]]
        expected = pooling(real[None])[0] if len(real) else torch.zeros(8)
        torch.testing.assert_close(pooled[row], expected, atol=1e-5, rtol=1e-4)


@every_pooling
def test_only_the_mean_ignores_the_order(temporal):
    torch.manual_seed(0)
    frames, pooling = torch.randn(2, 5, 8), build_pooling(temporal, 8)
    moved = (pooling(frames) - pooling(frames[:, [1, 0, 2, 3, 4]])).abs().max()
    assert (moved > 1e-4) is not (temporal == 'mean')


def test_transformer_names_what_does_not_fit():
    with pytest.raises(UserError, match='max_frames'):
        build_pooling(TRANSFORMER, 8)(torch.zeros(1, 6, 8))
    with pytest.raises(UserError, match='num_heads=3'):
        build_pooling({**TRANSFORMER, 'num_heads': 3}, 8)


@pytest.mark.parametrize('temporal', [MAMBA, TRANSFORMER], ids=['mamba', 'transformer'])
def test_gradients_reach_real_frames_alone(temporal):
    pooling, mask = build_pooling(temporal, 8), torch.ones(2, 5, dtype=torch.bool)
    mask[1, 3:] = False
    frames = torch.randn(2, 5, 8, requires_grad=True)
    pooling(frames, mask).square().sum().backward()
    assert frames.grad.abs().sum(-1).gt(0).equal(mask)
    assert all(p.grad is not None for p in pooling.parameters())


@pytest.mark.parametrize(
    'temporal', ['lstm', 3, None, {'type': 'mean', 'num_layers': 2}, {'layers': 2}]
)
def test_unknown_pooling(temporal):
    with pytest.raises(UserError, match='temporal='):
        build_pooling(temporal, 8)
