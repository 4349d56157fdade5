"""CausalMamba with B and C from the hidden state, against a loop over tokens in float64."""

import pytest
import torch
import torch.nn.functional as F
from transformers import MambaConfig

from tests.models.hf.small_lm import SIZES, lively
from transmamba_mm.errors import UserError
from transmamba_mm.models.mixers.causal_mamba import CausalMamba


def build(**config):
    torch.manual_seed(0)
    mixer = CausalMamba(MambaConfig(**{**SIZES, **config}), 0).double()
    mixer.init_mamba_weights()
    lively(mixer)
    return mixer


def loop(mixer, hidden):
    """The definition, one token at a time: (B, L, D) to (B, L, D)."""
    x, z = mixer.in_proj(hidden).chunk(2, dim=-1)
    width, count = mixer.conv1d.weight.shape[-1], mixer.ssm_state_size
    past = F.pad(x, (0, 0, width - 1, 0))
    state = torch.zeros(len(hidden), x.shape[-1], count, dtype=hidden.dtype)
    outputs = []
    for t in range(hidden.shape[1]):
        window = past[:, t : t + width].transpose(1, 2)  # (B, E, W)
        u = F.silu((window * mixer.conv1d.weight[:, 0]).sum(-1) + mixer.conv1d.bias)
        B = hidden[:, t] @ mixer.B_proj.weight.T  # (B, N)
        C = hidden[:, t] @ mixer.C_proj.weight.T / count**0.5
        delta = F.softplus(mixer.dt_proj(u @ mixer.x_proj.weight.T))[..., None]  # (B, E, 1)
        decay = torch.exp(-delta * mixer.A_log.exp())
        state = decay * state + delta * u[..., None] * B[:, None]
        y = (state * C[:, None]).sum(-1) + mixer.D * u
        outputs.append(mixer.out_proj(y * F.silu(z[:, t])))
    return torch.stack(outputs, 1)


@pytest.mark.parametrize('length', [1, 2, 3, 13])
@pytest.mark.parametrize('config', [{}, {'use_bias': True, 'conv_kernel': 3}], ids=str)
def test_outputs_and_gradients_equal_the_loop(length, config):
    mixer = build(bc_from='hidden', **config)
    hidden = torch.randn(2, length, 24, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, length, 24, dtype=torch.float64)
    results = []
    for forward in (mixer, lambda tokens: loop(mixer, tokens)):
        inputs = [hidden, *mixer.parameters()]
        out = forward(hidden)
        results.append([out, *torch.autograd.grad((out * weight).sum(), inputs)])
    names = ['output', 'hidden', *(name for name, _ in mixer.named_parameters())]
    assert {'B_proj.weight', 'C_proj.weight'} < set(names)
    for name, ours, expected in zip(names, *results, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-11, rtol=1e-9, msg=name)


def test_by_default_b_and_c_are_read_from_the_scanned_tokens():
    stock, hidden = build(), build(bc_from='hidden')
    rank, count = stock.time_step_rank, SIZES['state_size']
    assert stock.x_proj.weight.shape[0] == rank + 2 * count
    assert not hasattr(stock, 'B_proj')
    assert hidden.x_proj.weight.shape[0] == rank
    assert hidden.B_proj.weight.shape == hidden.C_proj.weight.shape == (count, 24)


def test_another_source_is_refused():
    with pytest.raises(UserError, match=r"bc_from='stream' .*one of scanned, hid"):
        build(bc_from='stream')
