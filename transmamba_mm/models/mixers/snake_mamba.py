"""The four-directional selective-state-space mixer of PlainMamba."""

import math
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, device, full_like, nn, no_grad, zeros_like
from torch.nn.init import constant_, kaiming_uniform_, ones_, trunc_normal_, zeros_

from transmamba_mm.checks import COUNT, checked
from transmamba_mm.errors import UserError
from transmamba_mm.models.mixers.attention_mimic import (
    UNIT_STEP,
    AttentionMimic,
    decay_log,
    read_average,
)
from transmamba_mm.models.mixers.scan_init import (
    SILU_ONE,
    init_decay,
    init_step_sizes,
    make_identity,
    open_gate,
)
from transmamba_mm.ops import arrival_moves, directional_scan, invert_order, snake_order

NUM_MOVES = 5
NUM_DIRECTIONS = 4


class SnakePath(NamedTuple):
    """The traversals of one grid; a backbone lays them once for all of its layers.

    Attributes:
        grid: Rows H and columns W.
        order: (4, L); step t of direction k visits token ``order[k, t]``.
        step: (4, L), its inverse; direction k visits token l at step ``step[k, l]``.
        move: (4, L); by which move direction k arrives at token l (0 to 4).
    """

    grid: tuple[int, int]
    order: Tensor
    step: Tensor
    move: Tensor

    @classmethod
    def over(cls, grid: tuple[int, int], where: device | str | None = None) -> 'SnakePath':
        """Lay the path over ``grid``, on the device ``where``."""
        order = snake_order(grid, where)
        step = invert_order(order)
        return cls(grid, order, step, arrival_moves(order, grid[1]).gather(1, step))


class SnakeMamba(nn.Module, AttentionMimic):
    """Four selective scans that walk a grid like a snake (arXiv 2403.17695).

    With ``x, z = in_proj(h)``, ``u = SiLU(conv(x))`` over the grid, ``dt, B, C = x_proj(u)`` and,
    for direction k of :func:`~transmamba_mm.ops.snake_order`, the vector ``direction_B`` of the
    move that arrived at each token::

        y_k = scan(u, softplus(dt_proj(dt)), -exp(A_log), B + direction_B[move_k], C) + D * u
        out = out_proj((y_0 + y_1 + y_2 + y_3) * SiLU(z))

    That is the paper: one set of parameters for all directions. The released weights were trained
    with two quirks of the official code and need them. They are on by default, and new training can
    do without:

    1. ``parameters_in_raster_order``: a direction reorders u alone. Step t reads u at the t-th
       token of the snake, but dt, B and C at the t-th token of the raster.
    2. ``double_dt_bias``: the bias of ``dt_proj`` is added twice, by the projection and again by
       the scan. New models start at half the bias, so that their step sizes are Mamba's.

    Only the scan depends on the traversal. With quirk 1 a token does have parameters of its own
    in each direction, those of the raster token with the number of its step; they are picked while
    they are low-rank, R + 2N numbers a token, and the scan is the same.

    Args:
        embed_dims (int): Model width D.
        state_dims (int): State size N.
        expand (int): E = expand * D.
        dt_rank (int, optional): Defaults to ceil(D / 16).
        conv_width (int): Side of the depthwise convolution, odd.
        bias (bool): Give in_proj and out_proj a bias.
        conv_bias (bool): Give the convolution a bias.
        parameters_in_raster_order (bool): Quirk 1.
        double_dt_bias (bool): Quirk 2.

    Shape:
        (B, L, D) -> (B, L, D), L = H * W tokens in raster order; with the directions kept apart
        (B, 4, L, D).

    Raises:
        UserError: An even ``conv_width``.
    """

    @checked(embed_dims=COUNT, state_dims=COUNT, expand=COUNT, dt_rank=COUNT, conv_width=COUNT)
    def __init__(
        self,
        embed_dims: int,
        state_dims: int = 16,
        expand: int = 2,
        dt_rank: int | None = None,
        conv_width: int = 7,
        bias: bool = True,
        conv_bias: bool = True,
        parameters_in_raster_order: bool = True,
        double_dt_bias: bool = True,
    ) -> None:
        super().__init__()
        if conv_width % 2 == 0:
            raise UserError(
                f'conv_width={conv_width} is even, so the convolution has no center: use '
                f'{conv_width + 1}.'
            )
        inner_dims = expand * embed_dims
        dt_rank = dt_rank or math.ceil(embed_dims / 16)
        self.state_dims = state_dims
        self.dt_rank = dt_rank
        self.parameters_in_raster_order = parameters_in_raster_order
        self.double_dt_bias = double_dt_bias
        self.in_proj = nn.Linear(embed_dims, 2 * inner_dims, bias=bias)
        self.conv = nn.Conv2d(
            inner_dims,
            inner_dims,
            conv_width,
            padding=conv_width // 2,
            groups=inner_dims,
            bias=conv_bias,
        )
        self.x_proj = nn.Linear(inner_dims, dt_rank + 2 * state_dims, bias=False)
        self.dt_proj = nn.Linear(dt_rank, inner_dims)
        self.A_log = nn.Parameter(self.x_proj.weight.new_empty(inner_dims, state_dims))
        self.D = nn.Parameter(self.x_proj.weight.new_empty(inner_dims))
        self.direction_B = nn.Parameter(self.x_proj.weight.new_empty(NUM_MOVES, state_dims))
        self.out_proj = nn.Linear(inner_dims, embed_dims, bias=bias)
        self.init_weights()

    def no_weight_decay(self) -> set[str]:
        """Parameters that weight decay leaves alone."""
        return {'A_log', 'D', 'direction_B'}

    def init_weights(self, num_layers: int = 1) -> None:
        """Initialize as Mamba does; ``out_proj`` shrinks with the depth of the network (GPT-2)."""
        init_decay(self.A_log)
        ones_(self.D)
        trunc_normal_(self.direction_B, std=0.02)
        init_step_sizes(self.dt_proj.weight, self.dt_proj.bias)
        if self.double_dt_bias:
            self.dt_proj.bias.data /= 2
        kaiming_uniform_(self.out_proj.weight, a=math.sqrt(5))
        self.out_proj.weight.data /= math.sqrt(num_layers)
        if self.out_proj.bias is not None:
            zeros_(self.out_proj.bias)

    def constant_scan(self) -> dict[str, Tensor]:
        """Values of parameters with which the scan gives 1, so the mixer ``out_proj(SiLU(z))``.

        The convolution gives 1, B is 0 and D is the share of a direction. Other parameters do not
        matter until these are trained.

        Raises:
            UserError: A convolution without bias.
        """
        if self.conv.bias is None:
            raise UserError(
                'conv_bias=False: without a bias the convolution cannot give 1, so this mixer '
                'takes no MLP. Use conv_bias=True, or a layer_map without MLPs.'
            )
        x_proj = self.x_proj.weight.clone()
        x_proj[self.dt_rank : self.dt_rank + self.state_dims] = 0  # the rows of B
        return {
            'conv.weight': zeros_like(self.conv.weight),
            'conv.bias': full_like(self.conv.bias, SILU_ONE),
            'x_proj.weight': x_proj,
            'direction_B': zeros_like(self.direction_B),
            'D': full_like(self.D, 1 / NUM_DIRECTIONS),
        }

    def pass_values(self) -> None:
        """See :class:`AttentionMimic`."""
        make_identity(self.conv)
        open_gate(self.in_proj)

    @no_grad()
    def average_values(self, decay: Tensor, hidden: Tensor, path: SnakePath) -> None:
        """See :class:`AttentionMimic`; all directions share the mean of their decays."""
        self.pass_values()
        self.fit_gate(hidden)
        x, _ = self.in_proj(hidden).chunk(2, dim=-1)
        u = self.convolve(x, path.grid)
        self.x_proj.weight.copy_(read_average(self.x_proj.weight, u, self.state_dims))
        zeros_(self.dt_proj.weight)
        constant_(self.dt_proj.bias, UNIT_STEP / 2 if self.double_dt_bias else UNIT_STEP)
        zeros_(self.D)
        self.A_log.copy_(decay_log(decay.mean(dim=0), self.state_dims))

    def forward(self, hidden: Tensor, path: SnakePath, keep_directions: bool = False) -> Tensor:
        """Mix raster tokens (B, L, D); directions may be kept apart, (B, 4, L, D)."""
        x, z = self.in_proj(hidden).chunk(2, dim=-1)  # (B, L, E) each
        u = self.convolve(x, path.grid)
        if not keep_directions:
            return self.out_proj(self.scan(u, z, path, 'sum'))
        # out_proj is linear; with equal shares of its bias, the contributions still add up to the
        # mixer's output.
        y = self.scan(u, z, path, 'none')  # (B, 4, L, E)
        bias = self.out_proj.bias
        share = None if bias is None else bias / len(path.order)
        return F.linear(y, self.out_proj.weight, share)

    def convolve(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Let raster tokens (B, L, E) see their neighbors in ``grid``."""
        image = x.unflatten(1, grid).permute(0, 3, 1, 2)  # a view, channels last: (B, E, H, W)
        return F.silu(self.conv(image)).permute(0, 2, 3, 1).flatten(1, 2)

    def scan(self, u: Tensor, z: Tensor | None, path: SnakePath, merge: str) -> Tensor:
        """Scan (B, L, E), gated by z: (B, L, E), or (B, 4, L, E) by token for merge 'none'."""
        delta, B, C = self.scan_parameters(u, path)
        K = len(path.order)
        dt_bias = self.dt_proj.bias * (2 if self.double_dt_bias else 1)
        return directional_scan(
            u,
            delta,
            -self.A_log.exp().expand(K, -1, -1),
            B,
            C,
            self.D.expand(K, -1),
            path.order,
            merge,
            gate=z,
            delta_bias=dt_bias.expand(K, -1),
            delta_softplus=True,
        )

    def scan_parameters(self, u: Tensor, path: SnakePath) -> tuple[Tensor, Tensor, Tensor]:
        """Step sizes before their bias, B and C of each token and direction (B, 4 or 1, L, .)."""
        projected = self.x_proj(u)  # (B, L, R + 2N)
        if self.parameters_in_raster_order:
            # Direction k visits token l at step[k, l], and there it finds that raster token's own.
            projected = projected.index_select(1, path.step.flatten())
        projected = projected.unflatten(1, (-1, u.shape[1]))  # (B, 4 or 1, L, R + 2N)
        dt, B, C = projected.split([self.dt_rank, self.state_dims, self.state_dims], dim=-1)
        # Contiguous, the few columns of dt cost half as much in the product.
        delta = F.linear(dt.contiguous(), self.dt_proj.weight)
        return delta, B + self.direction_B[path.move], C
