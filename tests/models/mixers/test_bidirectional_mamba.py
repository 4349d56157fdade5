import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from transmamba_mm.models.mixers import BidirectionalMamba


def scan_one_direction(x: Tensor, d, dt_rank: int, state_dims: int) -> Tensor:
    """The selective scan of (B, L, E) from left to right, one token after the other."""
    inner = x.shape[-1]
    padded = F.pad(x.transpose(1, 2), (d.conv.kernel_size[0] - 1, 0))
    u = F.silu(F.conv1d(padded, d.conv.weight, d.conv.bias, groups=inner)).transpose(1, 2)
    dt, B, C = d.x_proj(u).split([dt_rank, state_dims, state_dims], dim=-1)
    delta = F.softplus(d.dt_proj(dt))
    A = -d.A_log.exp()
    state = x.new_zeros(len(x), inner, state_dims)
    outs = []
    for t in range(x.shape[1]):
        state = (delta[:, t, :, None] * A).exp() * state
        state = state + (delta[:, t] * u[:, t])[..., None] * B[:, t, None, :]
        outs.append((state * C[:, t, None, :]).sum(-1) + d.D * u[:, t])
    return torch.stack(outs, 1)


@pytest.mark.parametrize('average', [True, False])
@pytest.mark.parametrize('length', [1, 3, 17])
def test_equals_two_plain_scans_with_flips(length, average):
    torch.manual_seed(0)
    mixer = BidirectionalMamba(12, state_dims=3, average_directions=average).double()
    mixer.init_weights()
    hidden = torch.randn(2, length, 12, dtype=torch.float64)
    x, z = mixer.in_proj(hidden).chunk(2, -1)
    forward = scan_one_direction(x, mixer.fwd, mixer.dt_rank, 3)
    backward = scan_one_direction(x.flip(1), mixer.bwd, mixer.dt_rank, 3).flip(1)
    expected = mixer.out_proj((forward + backward) * F.silu(z) / (2 if average else 1))
    torch.testing.assert_close(mixer(hidden), expected, atol=1e-12, rtol=1e-10)


def test_a_mixer_is_usable_as_built():
    mixer = BidirectionalMamba(8)
    torch.testing.assert_close(mixer.bwd.A_log.exp()[0], torch.arange(1.0, 17.0))
    assert all(parameter.isfinite().all() for parameter in mixer.parameters())


def test_initial_step_sizes_and_decay_are_mambas():
    torch.manual_seed(0)
    mixer = BidirectionalMamba(64)
    mixer.init_weights()
    dt = F.softplus(mixer.fwd.dt_proj.bias)
    assert dt.min() >= 1e-3 * 0.99 and dt.max() <= 0.1 * 1.01
    torch.testing.assert_close(mixer.bwd.A_log.exp()[0], torch.arange(1.0, 17.0))
    assert torch.equal(mixer.fwd.D, torch.ones(128))


def test_shared_projections_own_only_a_second_decay():
    mixer = BidirectionalMamba(8, shared_projections=True)
    assert [name for name, _ in mixer.bwd.named_parameters()] == ['A_log']


@pytest.mark.parametrize('average', [True, False])
def test_directions_add_up_to_the_output(average):
    mixer = BidirectionalMamba(8, average_directions=average).double()
    hidden = torch.randn(1, 5, 8, dtype=torch.float64)
    directions = mixer(hidden, keep_directions=True)
    assert directions.shape == (1, 2, 5, 8)
    torch.testing.assert_close(directions.sum(1), mixer(hidden))
