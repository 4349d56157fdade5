"""The four-directional selective-state-space mixer of VMamba."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transmamba_mm.checks import COUNT, FLAG, POSITIVE, checked
from transmamba_mm.models.mixers.attention_mimic import (
    UNIT_STEP,
    AttentionMimic,
    decay_log,
    read_average,
)
from transmamba_mm.models.mixers.scan_init import (
    init_decay,
    init_step_sizes,
    make_identity,
)
from transmamba_mm.ops import cross_order, directional_scan

NUM_DIRECTIONS = 4
NORM_EPS = 1e-5


class SS2D(nn.Module, AttentionMimic):
    """Selective scans of a feature map along rows and columns, both ways (arXiv 2401.10166).

    With ``x, z = in_proj(h)``, ``u = SiLU(conv(x))`` and, for direction k of :func:`cross_order`,
    ``dt_k, B_k, C_k = x_proj_k(u)``::

        y_k = scan(u, softplus(dt_proj_k(dt_k) + dt_bias_k), -exp(A_log_k), B_k, C_k) + D_k * u
        out = out_proj(norm(y_0 + y_1 + y_2 + y_3) * SiLU(z))     # without z: no gate

    The directions are summed, not averaged, and the gate comes after the norm. Everything stays
    channel-last: the feature map is a view for the convolution, which computes in that layout.

    Args:
        embed_dims (int): Model width D.
        state_dims (int): State size N.
        ssm_ratio (float): E = int(ssm_ratio * D).
        dt_rank (int, optional): Defaults to ceil(D / 16).
        conv_width (int): Side of the depthwise convolution, odd.
        conv_bias (bool): Give the convolution a bias.
        gate (bool): Multiply by SiLU(z); the official recipes named ``_noz`` do not.

    Shape:
        (B, H, W, D) -> (B, H, W, D); with the directions kept apart (B, 4, H * W, D).
    """

    @checked(
        embed_dims=COUNT,
        state_dims=COUNT,
        ssm_ratio=POSITIVE,
        dt_rank=COUNT,
        conv_width=COUNT,
        conv_bias=FLAG,
        gate=FLAG,
    )
    def __init__(
        self,
        embed_dims: int,
        state_dims: int = 1,
        ssm_ratio: float = 1.0,
        dt_rank: int | None = None,
        conv_width: int = 3,
        conv_bias: bool = False,
        gate: bool = False,
    ) -> None:
        super().__init__()
        inner_dims = int(ssm_ratio * embed_dims)
        dt_rank = dt_rank or math.ceil(embed_dims / 16)
        self.state_dims = state_dims
        self.dt_rank = dt_rank
        self.gate = gate
        self.in_proj = nn.Linear(embed_dims, inner_dims * (2 if gate else 1), bias=False)
        self.conv = nn.Conv2d(
            inner_dims,
            inner_dims,
            conv_width,
            padding=conv_width // 2,
            groups=inner_dims,
            bias=conv_bias,
        )
        K = NUM_DIRECTIONS
        self.x_proj = nn.Parameter(torch.empty(K, dt_rank + 2 * state_dims, inner_dims))
        self.dt_proj = nn.Parameter(torch.empty(K, inner_dims, dt_rank))
        self.dt_bias = nn.Parameter(torch.empty(K, inner_dims))
        self.A_log = nn.Parameter(torch.empty(K, inner_dims, state_dims))
        self.D = nn.Parameter(torch.empty(K, inner_dims))
        self.norm = nn.LayerNorm(inner_dims, eps=NORM_EPS)
        self.out_proj = nn.Linear(inner_dims, embed_dims, bias=False)
        self.init_weights()

    def no_weight_decay(self) -> set[str]:
        """Parameters that weight decay leaves alone."""
        return {'A_log', 'D', 'dt_bias'}

    def init_weights(self) -> None:
        """Initialize as the official code does; convolution and norm keep torch's own start."""
        nn.init.trunc_normal_(self.in_proj.weight, std=0.02)
        nn.init.trunc_normal_(self.out_proj.weight, std=0.02)
        bound = self.x_proj.shape[-1] ** -0.5
        nn.init.uniform_(self.x_proj, -bound, bound)
        init_step_sizes(self.dt_proj, self.dt_bias)
        init_decay(self.A_log)
        nn.init.ones_(self.D)

    def pass_values(self) -> None:
        """See :class:`AttentionMimic`; a gate has no bias to open it."""
        make_identity(self.conv)

    @torch.no_grad()
    def average_values(self, decay: Tensor, hidden: Tensor) -> None:
        """See :class:`AttentionMimic`."""
        self.pass_values()
        self.fit_gate(hidden)
        u = self._convolve(self.in_proj(hidden)[..., : self.out_proj.in_features])
        for rows in self.x_proj:
            rows.copy_(read_average(rows, u, self.state_dims))
        nn.init.zeros_(self.dt_proj)
        nn.init.constant_(self.dt_bias, UNIT_STEP)
        nn.init.zeros_(self.D)
        self.A_log.copy_(decay_log(decay, self.state_dims))

    def forward(self, hidden: Tensor, keep_directions: bool = False) -> Tensor:
        """Mix a map (B, H, W, D); its directions may be kept apart, (B, 4, H * W, D)."""
        grid = hidden.shape[1], hidden.shape[2]
        x, z = self.in_proj(hidden), None  # (B, H, W, E)
        if self.gate:
            x, z = x.chunk(2, dim=-1)
            z = F.silu(z)
        u = self._convolve(x)
        if keep_directions:
            return self._contributions(u, z, grid)
        y = self.norm(self.scan(u, grid, 'sum')).unflatten(1, grid)
        return self.out_proj(y if z is None else y * z)

    def _convolve(self, x: Tensor) -> Tensor:
        """Values (B, L, E) of a map (B, H, W, E)."""
        # A view in torch's channels_last layout, and so is the result: no copy but for the gate's.
        x = self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return F.silu(x).flatten(1, 2)

    def _contributions(self, u: Tensor, z: Tensor | None, grid: tuple[int, int]) -> Tensor:
        """Keep the directions apart up to the output: (B, 4, H * W, D).

        The norm's input is their sum, so what one of them contributes is a matter of definition.
        Given the variance of the sum it is affine: each direction is centered by itself, divided by
        the deviation of the sum and gets an equal share of the bias; the rest is linear. The
        contributions add up to the output exactly.
        """
        y = self.scan(u, grid, 'none')  # (B, K, L, E)
        variance = y.sum(1, keepdim=True).var(-1, correction=0, keepdim=True)
        centered = y - y.mean(-1, keepdim=True)
        y = centered * (variance + self.norm.eps).rsqrt() * self.norm.weight
        y = y + self.norm.bias / NUM_DIRECTIONS
        if z is not None:
            y = y * z.flatten(1, 2)[:, None]
        return self.out_proj(y)

    def scan(self, u: Tensor, grid: tuple[int, int], merge: str) -> Tensor:
        """Scan tokens (B, L, E) of ``grid``: (B, L, E), or (B, 4, L, E) for merge 'none'."""
        projected = F.linear(u, self.x_proj.flatten(0, 1))  # one product for all directions
        projected = projected.unflatten(-1, (NUM_DIRECTIONS, -1)).transpose(1, 2)
        dt, B, C = projected.split([self.dt_rank, self.state_dims, self.state_dims], dim=-1)
        # Contiguous, the few columns of dt cost half as much in the product.
        dt = dt.transpose(0, 1).flatten(1, 2).contiguous()  # (K, B * L, R)
        delta = torch.bmm(dt, self.dt_proj.transpose(1, 2))  # (K, B * L, E)
        return directional_scan(
            u,
            delta.unflatten(1, u.shape[:2]).transpose(0, 1),  # (B, K, L, E), a view
            -self.A_log.exp(),
            B,
            C,
            self.D,
            cross_order(grid, u.device),
            merge,
            delta_bias=self.dt_bias,
            delta_softplus=True,
        )
