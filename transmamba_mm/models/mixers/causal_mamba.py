"""The one-directional mixer of a Mamba language model, on our scan."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import MambaConfig
from transformers.cache_utils import Cache
from transformers.models.mamba.modeling_mamba import MambaMixer

from transmamba_mm.checks import COUNT, FLAG, check, checked, one_of
from transmamba_mm.errors import UserError
from transmamba_mm.models.mixers.attention_mimic import AttentionMimic
from transmamba_mm.models.mixers.scan_init import (
    init_decay,
    init_projections,
    init_step_sizes,
    make_identity,
    open_gate,
)
from transmamba_mm.ops import causal_conv1d, directional_scan

#: What B and C are read from: the scanned tokens (Mamba's own), or the hidden state.
BC_FROM = ('scanned', 'hidden')
#: Behind the convolution: Mamba's own, or none.
ACTIVATIONS = ('silu', None)


class CausalMamba(MambaMixer, AttentionMimic):
    """Transformers' ``MambaMixer``: its parameters and initialization, our forward.

    With ``x, z = in_proj(h)`` and ``u = SiLU(conv1d(x))`` (Mamba, arXiv 2312.00752)::

        dt, B, C = x_proj(u)
        y = scan(u, softplus(dt_proj(dt)), -exp(A_log), B, C) + D * u
        out = out_proj(y * SiLU(z))

    With ``config.bc_from='hidden'`` (ours; the default is ``'scanned'``, as above) B and C are
    read where attention reads keys and queries, from the normalized hidden state, so that they can
    start from those (``Y = C (M X)`` of TransMamba, arXiv 2502.15130: query -> C, key -> B)::

        dt = x_proj(u)
        B, C = B_proj(h), C_proj(h) / sqrt(N)

    The factor is attention's own: C · B is then as large as the score of a head that is N wide.

    With ``config.conv_activation=None`` (ours; the default is ``'silu'``) the scan reads what the
    convolution gives without an activation, as attention reads its values.

    Several tokens are scanned at once; with a cache they continue from its state (transformers 5.23
    starts again from zeros there). One token after others is one step of the recurrence.

    Padding is masked before the convolution and after it, because SiLU(bias) is not 0. Padding on
    the left therefore leaves the state exactly zero, whatever the biases are.

    Args:
        config (MambaConfig): Sizes and biases; ``bc_from`` and ``conv_activation`` are ours.
        layer_idx (int): Place of the layer in the cache.

    Shape:
        (B, L, D) -> (B, L, D).

    Raises:
        UserError: An activation other than SiLU, an unknown ``bc_from`` or ``conv_activation``.
    """

    def __init__(self, config: MambaConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx, initialize_mixer_weights=False)
        if config.hidden_act not in ('silu', 'swish'):
            raise UserError(
                f'hidden_act={config.hidden_act!r} is not supported: Mamba is made with silu.'
            )
        bc_from = getattr(config, 'bc_from', 'scanned')
        check('CausalMamba', 'bc_from', bc_from, one_of(*BC_FROM))
        self.reads_hidden = bc_from == 'hidden'
        self.conv_activation = getattr(config, 'conv_activation', 'silu')
        check('CausalMamba', 'conv_activation', self.conv_activation, one_of(*ACTIVATIONS))
        if self.reads_hidden:
            self.x_proj = nn.Linear(self.intermediate_size, self.time_step_rank, bias=False)
            self.B_proj = nn.Linear(self.hidden_size, self.ssm_state_size, bias=False)
            self.C_proj = nn.Linear(self.hidden_size, self.ssm_state_size, bias=False)

    def no_weight_decay(self) -> set[str]:
        """Parameters that weight decay leaves alone."""
        return {'A_log', 'D'}

    def init_weights(self, num_layers: int = 1) -> None:
        """Initialize as Mamba does; ``out_proj`` shrinks with the depth of the network (GPT-2)."""
        init_decay(self.A_log)
        nn.init.ones_(self.D)
        init_step_sizes(self.dt_proj.weight, self.dt_proj.bias)
        init_projections(self.in_proj, self.out_proj, num_layers)

    def mix_values(self) -> None:
        """Start as ``out_proj`` of the scanned values, see :class:`BidirectionalMamba`."""
        self.pass_values()
        nn.init.zeros_(self.D)

    def pass_values(self) -> None:
        """See :class:`AttentionMimic`."""
        make_identity(self.conv1d)
        open_gate(self.in_proj)

    def forward(
        self,
        hidden_states: Tensor,
        cache: Cache | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """Mix tokens (B, L, D) from left to right.

        Args:
            hidden_states (Tensor): (B, L, D).
            cache (Cache, optional): What came before; it is updated. No gradient flows
                through it.
            attention_mask (Tensor, optional): (B, L or more), 0 for padding; the last L count.
        """
        length = hidden_states.shape[1]
        mask = None if attention_mask is None else attention_mask[:, -length:, None]
        x, z = self.in_proj(hidden_states).chunk(2, dim=-1)  # (B, L, E) each
        state = self._previous_state(cache)  # before the convolution marks it as there
        u = _masked(self._convolve(_masked(x, mask), cache), mask)
        dt, B, C = self._select(hidden_states, u)
        one_more = length == 1 and state is not None
        y, state = (self.step if one_more else self.scan)(u, dt, B, C, z, state)
        if cache is not None:
            cache.update_recurrent_state(state.detach(), self.layer_idx)
        return self.out_proj(y)

    def scan(
        self, u: Tensor, dt: Tensor, B: Tensor, C: Tensor, z: Tensor, state: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Scan L tokens: y (B, L, E) and the state after them (B, E, N)."""
        y, last_state = directional_scan(
            u,
            F.linear(dt, self.dt_proj.weight)[:, None],
            -_at_least_float(self.A_log).exp()[None],
            B[:, None],
            C[:, None],
            self.D[None],
            torch.arange(u.shape[1], device=u.device)[None],
            gate=z,
            delta_bias=self.dt_proj.bias[None],
            delta_softplus=True,
            initial_state=None if state is None else state[:, None],
            return_last_state=True,
        )
        return y, last_state[:, 0]

    def step(
        self, u: Tensor, dt: Tensor, B: Tensor, C: Tensor, z: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Advance by one token: as :meth:`scan` at L = 1, without its preparations."""
        u, B, C, z, A_log = (_at_least_float(t) for t in (u, B, C, z, self.A_log))
        delta = F.softplus(_at_least_float(self.dt_proj(dt))).transpose(1, 2)  # (B, E, 1)
        decay = (delta * -A_log.exp()).exp()  # (B, E, N)
        state = torch.addcmul(delta * u.transpose(1, 2) * B, decay, state)
        y = torch.linalg.vecdot(state, C)[:, None]  # (B, 1, E)
        y = torch.addcmul(y, u, _at_least_float(self.D)) * F.silu(z)
        return y.to(dt.dtype), state

    def _select(self, hidden_states: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """dt (B, L, rank), B and C (B, L, N): what makes the scan selective."""
        if self.reads_hidden:
            C = self.C_proj(hidden_states) * self.ssm_state_size**-0.5
            return self.x_proj(u), self.B_proj(hidden_states), C
        sizes = [self.time_step_rank, self.ssm_state_size, self.ssm_state_size]
        return self.x_proj(u).split(sizes, dim=-1)

    def _convolve(self, x: Tensor, cache: Cache | None) -> Tensor:
        """The causal convolution of (B, L, E), over the cached tokens before it as well."""
        length, activation = x.shape[1], self.conv_activation
        weight, bias = self.conv1d.weight.squeeze(1), self.conv1d.bias
        if cache is None:
            return causal_conv1d(x, weight, bias, activation)
        follows = cache.has_previous_state(self.layer_idx)
        tokens = cache.update_conv_state(  # (B, E, >= max(L, W)), the new ones last
            x.transpose(1, 2), self.layer_idx, conv_kernel_size=self.conv_kernel_size
        )
        if follows and length == 1:
            window, weight = tokens[..., -self.conv_kernel_size :], _at_least_float(weight)
            u = torch.linalg.vecdot(window.to(weight.dtype), weight)
            u = u if bias is None else u + bias
            return (F.silu(u) if activation else u)[:, None].to(x.dtype)
        return causal_conv1d(tokens.transpose(1, 2), weight, bias, activation)[:, -length:]

    def _previous_state(self, cache: Cache | None) -> Tensor | None:
        if cache is None or not cache.has_previous_state(self.layer_idx):
            return None
        state = cache.layers[self.layer_idx].recurrent_states[0]
        # The cache writes over its tensors; a backward pass would find other numbers in them.
        return state.clone() if torch.is_grad_enabled() else state


@checked(
    expand=COUNT,
    state_dims=COUNT,
    dt_rank=COUNT,
    conv_width=COUNT,
    bias=FLAG,
    conv_activation=one_of(*ACTIVATIONS),
    bc_from=one_of(*BC_FROM),
)
def build_causal_mamba(
    embed_dims: int,
    inner_dims: int,
    layer: int = 0,
    num_layers: int = 1,
    expand: int | None = None,
    state_dims: int = 16,
    dt_rank: int | None = None,
    conv_width: int = 4,
    bias: bool = False,
    conv_activation: str | None = 'silu',
    bc_from: str = 'scanned',
) -> CausalMamba:
    """Build an initialized mixer, by the names that :class:`BidirectionalMamba` has.

    Args:
        embed_dims (int): Model width D.
        inner_dims (int): Width E of the scanned tokens, unless there is an ``expand``.
        layer, num_layers (int): Place of the layer in the cache, and how many there are.
        expand (int, optional): E = expand * D.
        state_dims (int): State size N.
        dt_rank (int, optional): Defaults to ceil(D / 16).
        conv_width (int): Taps of the causal convolution.
        bias (bool): ``in_proj`` and ``out_proj`` have biases.
        conv_activation (str | None): 'silu' (Mamba's own), or None.
        bc_from (str): See :class:`CausalMamba`.
    """
    config = MambaConfig(
        hidden_size=embed_dims,
        state_size=state_dims,
        num_hidden_layers=num_layers,
        conv_kernel=conv_width,
        use_bias=bias,
        time_step_rank=dt_rank or 'auto',
    )
    config.intermediate_size = expand * embed_dims if expand else inner_dims
    config.conv_activation, config.bc_from = conv_activation, bc_from
    mixer = CausalMamba(config, layer)
    mixer.init_weights(num_layers)
    return mixer


def _masked(tokens: Tensor, mask: Tensor | None) -> Tensor:
    return tokens if mask is None else tokens * mask.to(tokens.dtype)


def _at_least_float(tensor: Tensor) -> Tensor:
    """Half precision in float32: the decays multiply up."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
