import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from transmamba_mm.models.mixers import SS2D


def scan_sequence(mixer: SS2D, u: Tensor, k: int) -> Tensor:
    """The selective scan of direction k over (B, L, E) in its order, one token after the other."""
    N = mixer.state_dims
    dt, B, C = (u @ mixer.x_proj[k].T).split([mixer.dt_rank, N, N], dim=-1)
    delta = F.softplus(dt @ mixer.dt_proj[k].T + mixer.dt_bias[k])
    A = -mixer.A_log[k].exp()
    state = u.new_zeros(len(u), u.shape[-1], N)
    outs = []
    for t in range(u.shape[1]):
        state = (delta[:, t, :, None] * A).exp() * state
        state = state + (delta[:, t] * u[:, t])[..., None] * B[:, t, None, :]
        outs.append((state * C[:, t, None, :]).sum(-1) + mixer.D[k] * u[:, t])
    return torch.stack(outs, 1)


def cross_scan(mixer: SS2D, u: Tensor) -> Tensor:
    """Four scans of (B, H, W, E) with transposes and flips, merged."""
    B, H, W, E = u.shape
    rows = u.reshape(B, H * W, E)
    cols = u.transpose(1, 2).reshape(B, H * W, E)
    along_rows = scan_sequence(mixer, rows, 0) + scan_sequence(mixer, rows.flip(1), 2).flip(1)
    along_cols = scan_sequence(mixer, cols, 1) + scan_sequence(mixer, cols.flip(1), 3).flip(1)
    return along_rows.reshape(B, H, W, E) + along_cols.reshape(B, W, H, E).transpose(1, 2)


@pytest.mark.parametrize('gate', [True, False])
@pytest.mark.parametrize('grid', [(1, 1), (3, 5), (4, 2)])
def test_equals_four_plain_scans_with_transposes_and_flips(grid, gate):
    torch.manual_seed(0)
    mixer = SS2D(12, state_dims=3, ssm_ratio=2.0, gate=gate, conv_bias=True).double()
    torch.nn.init.normal_(mixer.norm.weight)
    torch.nn.init.normal_(mixer.norm.bias)
    hidden = torch.randn(2, *grid, 12, dtype=torch.float64)
    x, *z = mixer.in_proj(hidden).chunk(2 if gate else 1, -1)
    u = F.silu(mixer.conv(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
    y = mixer.norm(cross_scan(mixer, u))
    expected = mixer.out_proj(y * F.silu(z[0]) if gate else y)
    torch.testing.assert_close(mixer(hidden), expected, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize('gate', [True, False])
def test_contributions_sum_to_the_output_despite_a_norm_of_their_sum(gate):
    torch.manual_seed(0)
    mixer = SS2D(8, state_dims=2, gate=gate).double()
    torch.nn.init.normal_(mixer.norm.weight)
    torch.nn.init.normal_(mixer.norm.bias)
    hidden = torch.randn(2, 3, 4, 8, dtype=torch.float64)
    merged = mixer(hidden)
    directions = mixer(hidden, keep_directions=True)
    assert directions.shape == (2, 4, 12, 8)
    torch.testing.assert_close(directions.sum(1), merged.flatten(1, 2), atol=1e-12, rtol=1e-10)


def test_a_direction_that_puts_out_nothing_contributes_its_share_of_the_bias():
    torch.manual_seed(0)
    mixer = SS2D(8, state_dims=2)
    torch.nn.init.normal_(mixer.norm.bias)
    with torch.no_grad():
        mixer.x_proj[3] = 0.0  # B = C = 0
        mixer.D[3] = 0.0
    directions = mixer(torch.randn(1, 3, 4, 8), keep_directions=True)
    share = mixer.out_proj(mixer.norm.bias / 4)
    torch.testing.assert_close(directions[0, 3], share.expand(12, 8))


def test_start_is_the_official_one():
    torch.manual_seed(0)
    mixer = SS2D(64, state_dims=4)
    assert mixer.dt_rank == 4  # of the model width, whatever the inner width
    assert SS2D(64, ssm_ratio=2.0).dt_rank == 4
    torch.testing.assert_close(mixer.A_log.exp(), torch.arange(1.0, 5.0).expand(4, 64, 4))
    assert torch.equal(mixer.D, torch.ones(4, 64))
    dt = F.softplus(mixer.dt_bias)
    assert dt.min() >= 1e-3 * 0.99 and dt.max() <= 0.1 * 1.01
    assert not torch.equal(mixer.dt_bias[0], mixer.dt_bias[1])
    assert 0.015 < mixer.out_proj.weight.std() < 0.025


def test_the_convolution_computes_channel_last():
    """No copy before it: torch treats the map as channels_last and returns the same."""
    mixer = SS2D(16)
    seen = []
    mixer.conv.register_forward_hook(lambda _m, inputs, out: seen.extend([inputs[0], out]))
    mixer(torch.randn(2, 5, 7, 16))
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in seen)
