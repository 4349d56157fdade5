import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.models.mixers import SnakeMamba, SnakePath
from transmamba_mm.ops import arrival_moves, snake_order

GRID = (3, 5)


def mix_step_by_step(mixer: SnakeMamba, hidden: Tensor, grid: tuple[int, int]) -> Tensor:
    """Token by token, every direction by itself, as in the official code."""
    x, z = mixer.in_proj(hidden).chunk(2, -1)
    image = x.transpose(1, 2).unflatten(2, grid)
    u = F.silu(mixer.conv(image)).flatten(2).transpose(1, 2)
    sizes = [mixer.dt_rank, mixer.state_dims, mixer.state_dims]
    dt, B, C = mixer.x_proj(u).split(sizes, dim=-1)
    raw = mixer.dt_proj(dt)
    delta = F.softplus(raw + mixer.dt_proj.bias if mixer.double_dt_bias else raw)
    A = -mixer.A_log.exp()
    total = torch.zeros_like(u)
    orders = snake_order(grid)
    for order, moves in zip(orders, arrival_moves(orders, grid[1]), strict=True):
        state = u.new_zeros(len(u), u.shape[-1], mixer.state_dims)
        for t, (token, move) in enumerate(zip(order.tolist(), moves.tolist(), strict=True)):
            p = t if mixer.parameters_in_raster_order else token  # whose dt, B and C
            state = (delta[:, p, :, None] * A).exp() * state
            B_t = B[:, p] + mixer.direction_B[move]
            state = state + (delta[:, p] * u[:, token])[..., None] * B_t[:, None]
            total[:, token] += (state * C[:, p, None]).sum(-1) + mixer.D * u[:, token]
    return mixer.out_proj(total * F.silu(z))


@pytest.mark.parametrize('raster', [True, False], ids=['raster', 'own'])
@pytest.mark.parametrize('double', [True, False], ids=['double', 'single'])
@pytest.mark.parametrize('grid', [GRID, (1, 4), (4, 1), (1, 1)])
@torch.no_grad()
def test_equals_four_plain_scans(raster, double, grid):
    torch.manual_seed(0)
    mixer = SnakeMamba(
        12, state_dims=3, parameters_in_raster_order=raster, double_dt_bias=double
    ).double()
    hidden = torch.randn(2, grid[0] * grid[1], 12, dtype=torch.float64)
    expected = mix_step_by_step(mixer, hidden, grid)
    actual = mixer(hidden, SnakePath.over(grid))
    torch.testing.assert_close(actual, expected, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize('quirk', ['parameters_in_raster_order', 'double_dt_bias'])
def test_each_quirk_matters(quirk):
    torch.manual_seed(0)
    mixer = SnakeMamba(12, state_dims=3)
    hidden, path = torch.randn(2, 15, 12), SnakePath.over(GRID)
    with_quirk = mixer(hidden, path)
    setattr(mixer, quirk, False)
    assert (mixer(hidden, path) - with_quirk).abs().max() > 1e-4


@pytest.mark.parametrize('double', [True, False])
def test_initial_step_sizes_are_mambas_however_often_the_bias_is_added(double):
    torch.manual_seed(0)
    mixer = SnakeMamba(64, double_dt_bias=double)
    dt = F.softplus(mixer.dt_proj.bias * (2 if double else 1))
    assert dt.min() >= 1e-3 * 0.99 and dt.max() <= 0.1 * 1.01


@pytest.mark.parametrize('raster', [True, False], ids=['raster', 'own'])
@pytest.mark.parametrize('bias', [True, False])
def test_directions_kept_apart_sum_to_the_output_and_its_gradients(raster, bias):
    torch.manual_seed(0)
    mixer = SnakeMamba(8, state_dims=2, bias=bias, parameters_in_raster_order=raster).double()
    hidden = torch.randn(2, 15, 8, dtype=torch.float64)
    path = SnakePath.over(GRID)
    directions = mixer(hidden, path, keep_directions=True)
    assert directions.shape == (2, 4, 15, 8)

    def output_and_gradients(output: Tensor) -> list[Tensor]:
        return [output, *torch.autograd.grad(output.square().sum(), mixer.parameters())]

    plain = output_and_gradients(mixer(hidden, path))
    torch.testing.assert_close(output_and_gradients(directions.sum(1)), plain)


def test_a_path_holds_steps_and_directions_of_its_tokens():
    path = SnakePath.over((2, 2))
    assert path.order.tolist() == [[0, 1, 3, 2], [2, 3, 1, 0], [0, 2, 3, 1], [1, 3, 2, 0]]
    assert path.step[0].tolist() == [0, 1, 3, 2]
    assert path.move[0].tolist() == [0, 1, 2, 4]  # token 2 from the right, token 3 from above


def test_an_even_convolution_is_a_user_error():
    with pytest.raises(UserError, match='use 5'):
        SnakeMamba(8, conv_width=4)
