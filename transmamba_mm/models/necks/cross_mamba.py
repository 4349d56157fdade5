"""Cross-Mamba: condition visual tokens on a text, at linear cost."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transmamba_mm.checks import COUNT, FLAG, checked, one_of
from transmamba_mm.errors import UserError
from transmamba_mm.models.mixers.scan_init import init_decay, init_step_sizes
from transmamba_mm.ops import bidirectional_order, directional_conv1d, directional_scan
from transmamba_mm.registry import MODELS

FUSIONS = ('state', 'parameters', 'none')
ROLES = ('B', 'C', 'dt')


class ScanParameters(nn.Module):
    """Project tokens to values, step sizes, B and C of K directions (Mamba, arXiv 2312.00752).

    Args:
        num_directions (int): K; the second walks from the last token to the first.
        inner_dims (int): Width E of the tokens.
        state_dims (int): State size N.
        dt_rank (int): Rank R of the step sizes.
        conv_width (int): Taps W of the causal convolution.
    """

    def __init__(
        self, num_directions: int, inner_dims: int, state_dims: int, dt_rank: int, conv_width: int
    ) -> None:
        super().__init__()
        K, E = num_directions, inner_dims
        self.sizes = [dt_rank, state_dims, state_dims]
        self.conv_weight = nn.Parameter(torch.empty(K, E, conv_width))
        self.conv_bias = nn.Parameter(torch.zeros(K, E))
        self.x_proj = nn.Parameter(torch.empty(K, dt_rank + 2 * state_dims, E))
        self.dt_proj = nn.Parameter(torch.empty(K, E, dt_rank))
        self.dt_bias = nn.Parameter(torch.empty(K, E))
        nn.init.uniform_(self.conv_weight, -(conv_width**-0.5), conv_width**-0.5)
        nn.init.uniform_(self.x_proj, -(E**-0.5), E**-0.5)
        init_step_sizes(self.dt_proj, self.dt_bias)

    def no_weight_decay(self) -> set[str]:
        """Parameters that weight decay leaves alone."""
        return {'conv_bias', 'dt_bias'}

    def convolve(self, x: Tensor) -> Tensor:
        """Values (B, K, L, E) of tokens (B, L, E)."""
        reverse = (False, True)[: len(self.x_proj)]
        u = directional_conv1d(x, self.conv_weight, self.conv_bias, reverse, 'silu')
        return u.transpose(0, 1)

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Step sizes before bias and softplus (B, K, L, E), B and C (B, K, L, N), of values u."""
        projected = torch.einsum('bkle,kre->bklr', u, self.x_proj)
        dt, B, C = projected.split(self.sizes, dim=-1)
        return torch.einsum('bklr,ker->bkle', dt, self.dt_proj), B, C


@MODELS.register_module()
class CrossMamba(nn.Module):
    """Let text shape the scan that visual tokens flow through (TransMamba v1, arXiv 2502.15130).

    Mamba is read as ``Y = C (M X)``: C asks, B is the key, x the value.

    * ``fusion='parameters'`` (the paper's): some of these roles come from the text. The paper does
      not specify how a text of M tokens gives a role to each of L visual tokens; here its mean
      does, over the tokens that are not padding, after a convolution of its own. By default the
      text
      asks: C is the text's.
    * ``fusion='state'`` (ours): the text is scanned first, and its last state is where the visual
      scan starts, in both directions. The two scans share A, so that a state means the same.
    * ``fusion='none'``: the text is ignored; a plain Mamba block, the control of a comparison.

    Either way the cost is linear in L + M and the result is added to the visual tokens. A text
    without a single token leaves a plain Mamba block ('state'), or roles that are zero.

    Args:
        visual_dims (int): Width D of the visual tokens.
        text_dims (int): Width of the text tokens.
        fusion (str): 'state', 'parameters' or 'none'.
        text_roles (Sequence[str]): For 'parameters': which of 'B', 'C' and 'dt' are the text's; the
            paper lets dt follow its partner B: ``('B', 'dt')``.
        bidirectional (bool): Scan from both ends and average.
        state_dims (int): State size N.
        expand (int): E = expand * D.
        dt_rank (int, optional): Defaults to ceil(D / 16).
        conv_width (int): Taps of the causal convolutions.

    Raises:
        UserError: An unknown fusion or role; a size that is not positive.
    """

    @checked(
        fusion=one_of(*FUSIONS),
        bidirectional=FLAG,
        state_dims=COUNT,
        expand=COUNT,
        dt_rank=COUNT,
        conv_width=COUNT,
    )
    def __init__(
        self,
        visual_dims: int,
        text_dims: int,
        fusion: str = 'state',
        text_roles: Sequence[str] = ('C',),
        bidirectional: bool = True,
        state_dims: int = 16,
        expand: int = 2,
        dt_rank: int | None = None,
        conv_width: int = 4,
    ) -> None:
        super().__init__()
        if not text_roles or not set(text_roles) <= set(ROLES):
            raise UserError(f'text_roles={list(text_roles)} must name some of {", ".join(ROLES)}.')
        K, E = 2 if bidirectional else 1, expand * visual_dims
        sizes = (K, E, state_dims, dt_rank or math.ceil(visual_dims / 16), conv_width)
        self.fusion = fusion
        self.text_roles = tuple(text_roles)
        fuses = fusion != 'none'
        self.norm = nn.LayerNorm(visual_dims)
        self.text_norm = nn.LayerNorm(text_dims) if fuses else None
        self.in_proj = nn.Linear(visual_dims, 2 * E, bias=False)
        self.text_proj = nn.Linear(text_dims, E, bias=False) if fuses else None
        self.visual = ScanParameters(*sizes)
        self.text = ScanParameters(*sizes) if fuses else None
        self.A_log = nn.Parameter(torch.empty(K, E, state_dims))
        self.D = nn.Parameter(torch.ones(K, E))
        self.out_proj = nn.Linear(E, visual_dims, bias=False)
        init_decay(self.A_log)

    def no_weight_decay(self) -> set[str]:
        """Parameters that weight decay leaves alone."""
        return {'A_log', 'D'}

    def forward(self, visual: Tensor, text: Tensor, text_mask: Tensor | None = None) -> Tensor:
        """Make visual tokens language-aware.

        Args:
            visual (Tensor): (B, L, D).
            text (Tensor): (B, M, text_dims); M may be 0.
            text_mask (Tensor, optional): (B, M), 0 or False where a token is padding, on either
                side; by default none is.

        Returns:
            Tensor: (B, L, D).
        """
        x, z = self.in_proj(self.norm(visual)).chunk(2, dim=-1)  # (B, L, E) each
        mask = text.new_ones(text.shape[:2]) if text_mask is None else text_mask.to(text.dtype)
        u = self.visual.convolve(x)
        delta, B, C = self.visual(u)
        delta = delta + self.visual.dt_bias[:, None]
        state = None
        if self.fusion == 'state':
            state = self._text_state(self._text_values(text, mask), mask)
        elif self.fusion == 'parameters':
            values = self._text_values(text, mask)  # (B, K, M, E)
            roles = self._text_as_roles(values, mask)
            B, C, delta = (
                roles[role].expand_as(own) if role in self.text_roles else own
                for role, own in (('B', B), ('C', C), ('dt', delta))
            )
        order = bidirectional_order(x.shape[1], x.device)[: len(self.D)]
        y = directional_scan(
            u,
            delta,
            self._decay(),
            B,
            C,
            self.D,
            order,
            'mean',
            gate=z,
            delta_softplus=True,
            initial_state=state,
        )
        return visual + self.out_proj(y)

    def _decay(self) -> Tensor:
        return -self.A_log.exp()

    def _text_values(self, text: Tensor, mask: Tensor) -> Tensor:
        """Convolved text tokens, padding zero before (for its neighbors) and after."""
        if not text.shape[1]:
            return text.new_zeros(len(text), len(self.D), 0, self.D.shape[1])
        tokens = self.text_proj(self.text_norm(text)) * mask[..., None]
        return self.text.convolve(tokens) * mask[:, None, :, None]

    def _text_state(self, values: Tensor, mask: Tensor) -> Tensor | None:
        """State (B, K, E, N) after the text; a step of size 0 leaves it as it is."""
        if not values.shape[2]:
            return None
        delta, B, C = self.text(values)
        delta = F.softplus(delta + self.text.dt_bias[:, None]) * mask[:, None, :, None]
        order = bidirectional_order(values.shape[2], values.device)[: len(self.D)]
        _, state = directional_scan(
            values, delta, self._decay(), B, C, None, order, 'none', return_last_state=True
        )
        return state

    def _text_as_roles(self, values: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Roles (B, K, 1, .) that every visual token shares."""
        count = mask.sum(1).clamp(min=1)[:, None, None]
        mean = (values.sum(2) / count).unsqueeze(2)  # (B, K, 1, E)
        delta, B, C = self.text(mean)
        return {'dt': delta + self.text.dt_bias[:, None], 'B': B, 'C': C}
