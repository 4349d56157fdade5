"""Mixers that start like attention: what they pass on, and the average that they compute."""

import pytest
import torch
from transformers import MambaConfig

from transmamba_mm.errors import UserError
from transmamba_mm.models.mixers import SS2D, BidirectionalMamba, SnakeMamba
from transmamba_mm.models.mixers.attention_mimic import decay_log, read_constant
from transmamba_mm.models.mixers.causal_mamba import CausalMamba
from transmamba_mm.models.mixers.snake_mamba import SnakePath
from transmamba_mm.ops import bidirectional_order, cross_order, snake_order

GRID = (3, 4)
#: Mixers of 8 channels, and the traversals of their directions.
MIXERS = {
    'bidirectional': (lambda: BidirectionalMamba(8, 4, expand=1), bidirectional_order(12)),
    'with biases': (
        lambda: BidirectionalMamba(8, 4, expand=1, bias=True, conv_activation=None),
        bidirectional_order(12),
    ),
    'bimamba v1': (
        lambda: BidirectionalMamba(8, 4, shared_projections=True),
        bidirectional_order(12),
    ),
    'snake': (lambda: SnakeMamba(8, 4, expand=1, conv_width=3), snake_order(GRID)),
    'snake, no quirks': (
        lambda: SnakeMamba(
            8, 4, conv_width=3, parameters_in_raster_order=False, double_dt_bias=False, bias=False
        ),
        snake_order(GRID),
    ),
    'ss2d': (lambda: SS2D(8, 2), cross_order(GRID)),
    'ss2d, gated': (lambda: SS2D(8, 2, gate=True, conv_bias=True), cross_order(GRID)),
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def scanned(mixer, hidden):
    """Inputs of a mixer for tokens (B, L, E), and what it hands to ``out_proj``."""
    inputs = [hidden.unflatten(1, GRID) if isinstance(mixer, SS2D) else hidden]
    inputs += [SnakePath.over(GRID)] if isinstance(mixer, SnakeMamba) else []
    seen = []
    first = mixer.norm if isinstance(mixer, SS2D) else mixer.out_proj
    handle = first.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    mixer(*inputs)
    handle.remove()
    return inputs, seen[0].reshape(len(hidden), 12, -1)


@pytest.mark.parametrize('name', MIXERS)
def test_an_average_of_values_with_the_decay_of_each_channel(name):
    build, order = MIXERS[name]
    mixer = build().double().eval()
    # A channel that is always 1, so that gate, B and C can read a constant exactly.
    hidden = torch.randn(3, 12, 8, dtype=torch.double)
    hidden[..., 0] = 1.0
    inner = mixer.out_proj.in_features
    with torch.no_grad():
        torch.nn.init.orthogonal_(mixer.in_proj.weight[:inner])
        mixer.in_proj.weight[:inner] *= 0.1
        mixer.in_proj.weight[0] = 0
        mixer.in_proj.weight[0, 0] = 2.0
    decay = torch.rand(len(order), inner, dtype=torch.double) * 0.5 + 0.4
    if 'snake' in name:
        decay = decay[:1].expand(len(order), -1)
    inputs, _ = scanned(mixer, hidden)
    mixer.average_values(decay, *inputs)
    with torch.no_grad():
        x = mixer.in_proj(hidden)[..., :inner]
        u = x if name == 'with biases' else torch.nn.functional.silu(x)
        steps = torch.arange(12)
        expected = 0
        for path, own in zip(order, decay, strict=True):
            kernel = (own[:, None, None] ** (steps[:, None] - steps)).tril()  # (E, L, L)
            y = torch.einsum('elm,bme->ble', kernel, u[:, path])
            expected = expected + y[:, path.argsort()]
        if getattr(mixer, 'merge', 'sum') == 'mean':
            expected = expected / 2
        _, found = scanned(mixer, hidden)
    # The rest is the ridge, and small B of the moves of a snake.
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


def test_values_pass_a_mixer_of_text():
    config = MambaConfig(hidden_size=8, state_size=4, num_hidden_layers=1, vocab_size=5)
    mixer = CausalMamba(config, 0)
    mixer.pass_values()
    x = torch.randn(2, 5, mixer.intermediate_size)
    silu = torch.nn.functional.silu(x)
    torch.testing.assert_close(mixer._convolve(x, None), silu)
    with pytest.raises(UserError, match='mixes text'):
        mixer.average_values(torch.ones(1, 1), x)


def test_a_constant_is_read_as_well_as_it_can_be():
    tokens = torch.randn(200, 6) + torch.tensor([1.0, 2, 0, 0, 0, 0])
    read = tokens @ read_constant(tokens, 1.5)
    best = torch.linalg.lstsq(tokens, torch.full((200, 1), 1.5)).solution[:, 0]
    torch.testing.assert_close(read, tokens @ best, rtol=0, atol=2e-3)


def test_states_decay_by_powers():
    decay = torch.tensor([0.9, 0.5])
    kept = (-decay_log(decay, 3).exp()).exp()
    torch.testing.assert_close(kept, decay[:, None] ** torch.tensor([1.0, 2.0, 3.0]))
