"""The bidirectional selective-state-space mixer of Vim and VideoMamba."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transmamba_mm.checks import COUNT, FLAG, checked, one_of
from transmamba_mm.models.mixers.attention_mimic import (
    UNIT_STEP,
    AttentionMimic,
    decay_log,
    read_average,
)
from transmamba_mm.models.mixers.scan_init import (
    SILU_ONE,
    init_decay,
    init_projections,
    init_step_sizes,
    make_identity,
    open_gate,
)
from transmamba_mm.ops import bidirectional_order, directional_conv1d, directional_scan


class ScanDirection(nn.Module):
    """The parameters with which one direction turns tokens into a scan (Mamba, arXiv 2312.00752).

    Args:
        inner_dims (int): Width E of the scanned tokens.
        state_dims (int): State size N of each channel.
        dt_rank (int): Rank R of the step size's projection.
        conv_width (int): Taps of the causal depthwise convolution.
        owns_projections (bool): False for the second direction of Vim's older variant (bimamba
            v1), which has nothing of its own but ``A_log``.
    """

    def __init__(
        self,
        inner_dims: int,
        state_dims: int,
        dt_rank: int,
        conv_width: int,
        owns_projections: bool = True,
    ) -> None:
        super().__init__()
        self.A_log = nn.Parameter(torch.empty(inner_dims, state_dims))
        if owns_projections:
            self.conv = nn.Conv1d(inner_dims, inner_dims, conv_width, groups=inner_dims)
            self.x_proj = nn.Linear(inner_dims, dt_rank + 2 * state_dims, bias=False)
            self.dt_proj = nn.Linear(dt_rank, inner_dims)
            self.D = nn.Parameter(torch.empty(inner_dims))
        self.owns_projections = owns_projections
        self.init_weights()

    def no_weight_decay(self) -> set[str]:
        """Parameters that weight decay leaves alone."""
        return {'A_log', 'D'}

    def init_weights(self) -> None:
        """Mamba's own start: A = -(1..N), D = 1, step sizes log-uniform in [0.001, 0.1]."""
        init_decay(self.A_log)
        if self.owns_projections:
            nn.init.ones_(self.D)
            init_step_sizes(self.dt_proj.weight, self.dt_proj.bias)


class BidirectionalMamba(nn.Module, AttentionMimic):
    """Two selective scans over one sequence, forward and backward, gated and merged.

    With ``x, z = in_proj(h)`` and, for direction k, ``u_k = SiLU(conv_k(x))`` and
    ``dt_k, B_k, C_k = x_proj_k(u_k)``::

        y_k = scan(u_k, softplus(dt_proj_k(dt_k)), -exp(A_log_k), B_k, C_k) + D_k * u_k
        out = out_proj((y_0 + y_1) * SiLU(z))          # divided by 2 when directions are averaged

    The backward direction scans the reversed sequence. Because every projection is token-wise, no
    tensor is ever flipped: only the scan and the convolution depend on the traversal.

    Args:
        embed_dims (int): Model width D.
        state_dims (int): State size N.
        expand (int): E = expand * D.
        dt_rank (int, optional): Defaults to ceil(D / 16).
        conv_width (int): Taps of the causal convolution.
        average_directions (bool): Divide the merged directions by 2 (Vim yes, VideoMamba no).
        shared_projections (bool): Vim's older bimamba v1: convolution, projections and D are
            computed once, in forward order, for both directions; only A differs. The official code
            never averages on this path, so neither do we.
        bias (bool): ``in_proj`` and ``out_proj`` have biases, as attention's projections do.
        conv_activation (str | None): 'silu' (Mamba's own), or None: the scan reads the values
            themselves, as attention does.

    Shape:
        (B, L, D) -> (B, L, D); with the directions kept apart (B, 2, L, D).
    """

    @checked(
        embed_dims=COUNT,
        state_dims=COUNT,
        expand=COUNT,
        dt_rank=COUNT,
        conv_width=COUNT,
        average_directions=FLAG,
        shared_projections=FLAG,
        bias=FLAG,
        conv_activation=one_of('silu', None),
    )
    def __init__(
        self,
        embed_dims: int,
        state_dims: int = 16,
        expand: int = 2,
        dt_rank: int | None = None,
        conv_width: int = 4,
        average_directions: bool = True,
        shared_projections: bool = False,
        bias: bool = False,
        conv_activation: str | None = 'silu',
    ) -> None:
        super().__init__()
        inner_dims = expand * embed_dims
        dt_rank = dt_rank or math.ceil(embed_dims / 16)
        self.state_dims = state_dims
        self.dt_rank = dt_rank
        self.merge = 'mean' if average_directions and not shared_projections else 'sum'
        self.shared_projections = shared_projections
        sizes = (inner_dims, state_dims, dt_rank, conv_width)
        self.conv_activation = conv_activation
        self.in_proj = nn.Linear(embed_dims, 2 * inner_dims, bias=bias)
        self.fwd = ScanDirection(*sizes)
        self.bwd = ScanDirection(*sizes, owns_projections=not shared_projections)
        self.out_proj = nn.Linear(inner_dims, embed_dims, bias=bias)

    def init_weights(self, num_layers: int = 1) -> None:
        """Initialize as Mamba does; ``out_proj`` shrinks with the depth of the network (GPT-2)."""
        self.fwd.init_weights()
        self.bwd.init_weights()
        init_projections(self.in_proj, self.out_proj, num_layers)

    def mix_values(self) -> None:
        """Start as ``out_proj`` of the scanned values: no convolution, no gate, D = 0.

        Attention is a weighted sum of values, so a mixer that stands for it begins as one; all of
        it learns. It needs ``bias=True`` and ``conv_activation=None``. The open gate and the
        identity convolution are mmMamba's (arXiv 2502.13145); D = 0 is ours: with D = 1 the error
        against the attention of a trained DeiT begins at 1.9 of its own size instead of 1.0.
        """
        self.pass_values()
        for direction in self._owners:
            nn.init.zeros_(direction.D)

    @torch.no_grad()
    def pass_values(self) -> None:
        """See :class:`AttentionMimic`."""
        for direction in self._owners:
            make_identity(direction.conv)
        open_gate(self.in_proj)

    @torch.no_grad()
    def average_values(self, decay: Tensor, hidden: Tensor) -> None:
        """See :class:`AttentionMimic`."""
        self.pass_values()
        self.fit_gate(hidden)
        x, _ = self.in_proj(hidden).chunk(2, dim=-1)
        for direction, u in zip(self._owners, self._convolve(x), strict=True):
            weight = direction.x_proj.weight
            weight.copy_(read_average(weight, u, self.state_dims))
            nn.init.zeros_(direction.dt_proj.weight)
            nn.init.constant_(direction.dt_proj.bias, UNIT_STEP)
            nn.init.zeros_(direction.D)
        for direction, own in zip((self.fwd, self.bwd), decay, strict=True):
            direction.A_log.copy_(decay_log(own, self.state_dims))

    def constant_scan(self) -> dict[str, Tensor]:
        """Values of parameters with which the scan gives 1, so the mixer ``out_proj(SiLU(z))``.

        The convolution gives 1, B is 0 and D is the share of a direction. Other parameters do not
        matter until these are trained.
        """
        values = {}
        rows = slice(self.dt_rank, self.dt_rank + self.state_dims)
        bias = 1.0 if self.conv_activation is None else SILU_ONE
        for name, direction in (('fwd', self.fwd), ('bwd', self.bwd)):
            if direction.owns_projections:
                x_proj = direction.x_proj.weight.clone()
                x_proj[rows] = 0  # those of B
                share = 1.0 if self.merge == 'mean' else 0.5
                values |= {
                    f'{name}.conv.weight': torch.zeros_like(direction.conv.weight),
                    f'{name}.conv.bias': torch.full_like(direction.conv.bias, bias),
                    f'{name}.x_proj.weight': x_proj,
                    f'{name}.D': torch.full_like(direction.D, share),
                }
        return values

    def forward(self, hidden: Tensor, keep_directions: bool = False) -> Tensor:
        """Mix tokens (B, L, D) along both directions; they may be kept apart, (B, 2, L, D)."""
        x, z = self.in_proj(hidden).chunk(2, dim=-1)  # (B, L, E) each
        if not keep_directions:
            return self.out_proj(self.scan(x, z, self.merge))
        # out_proj is linear, so the contributions still add up to the mixer's output.
        contributions = self.scan(x, z, 'none')  # (B, K, L, E)
        if self.merge == 'mean':
            contributions = contributions / contributions.shape[1]
        bias = self.out_proj.bias
        share = None if bias is None else bias / contributions.shape[1]
        return F.linear(contributions, self.out_proj.weight, share)

    def keys_queries(self, hidden: Tensor) -> Tensor:
        """B and C of tokens (B, L, D) in each direction, side by side: (B, 2, L, 2N).

        Where Mamba is read as attention, B is the key of a token and C its query.
        """
        x, _ = self.in_proj(hidden).chunk(2, dim=-1)
        found = self._project(self._convolve(x))[..., self.dt_rank :]
        return found.unflatten(1, x.shape[:2]).transpose(0, 1).expand(-1, 2, -1, -1)

    def _convolve(self, x: Tensor) -> Tensor:
        """Values u (K, B, L, E) of tokens (B, L, E); K is 1 for shared projections."""
        return directional_conv1d(
            x,
            torch.stack([d.conv.weight.squeeze(1) for d in self._owners]),
            torch.stack([d.conv.bias for d in self._owners]),
            [d is self.bwd for d in self._owners],
            self.conv_activation,
        )

    def _project(self, u: Tensor) -> Tensor:
        """dt, B and C side by side, (K, B * L, R + 2N), of values (K, B, L, E)."""
        x_proj = torch.stack([d.x_proj.weight for d in self._owners])  # (K, R + 2N, E)
        return torch.bmm(u.flatten(1, 2), x_proj.transpose(1, 2))

    @property
    def _owners(self) -> list[ScanDirection]:
        """Directions with projections of their own."""
        return [self.fwd] if self.shared_projections else [self.fwd, self.bwd]

    def scan(self, x: Tensor, z: Tensor, merge: str) -> Tensor:
        """Scan (B, L, E) in both directions, gated by z: (B, L, E), or (B, 2, L, E) for 'none'."""
        u = self._convolve(x)  # (K, B, L, E)
        dt_proj = torch.stack([d.dt_proj.weight for d in self._owners])  # (K, E, R)
        sizes = [self.dt_rank, self.state_dims, self.state_dims]
        dt, B, C = self._project(u).split(sizes, dim=-1)
        # Contiguous, the few columns of dt cost half as much in the product.
        delta = torch.bmm(dt.contiguous(), dt_proj.transpose(1, 2))  # (K, B * L, E)

        def batch_first(tokens: Tensor) -> Tensor:
            return tokens.unflatten(1, x.shape[:2]).transpose(0, 1)  # (B, K, L, ...), a view

        per_direction = [self.fwd, self.fwd] if self.shared_projections else self._owners
        return directional_scan(
            u[0] if self.shared_projections else u.transpose(0, 1),
            batch_first(delta),
            -torch.stack([self.fwd.A_log, self.bwd.A_log]).exp(),  # (K, E, N)
            batch_first(B),
            batch_first(C),
            torch.stack([d.D for d in per_direction]),
            bidirectional_order(x.shape[1], x.device),
            merge,
            gate=z,
            delta_bias=torch.stack([d.dt_proj.bias for d in per_direction]),
            delta_softplus=True,
        )
