"""Initial parameters of a scan (Mamba, arXiv 2312.00752, section 3.6), for any directions."""

import math

import torch
from torch import Tensor, nn

#: SiLU of it is 1.
SILU_ONE = 1.2784645427610738


@torch.no_grad()
def init_decay(A_log: Tensor) -> None:
    """A = -(1..N) in every channel of ``A_log`` (..., N)."""
    steps = torch.arange(1, A_log.shape[-1] + 1, dtype=torch.float32)
    A_log.copy_(steps.log().expand_as(A_log))


@torch.no_grad()
def init_step_sizes(
    weight: Tensor, bias: Tensor, dt_min: float = 1e-3, dt_max: float = 0.1
) -> None:
    """Step sizes ``softplus(bias)`` log-uniform in [dt_min, dt_max].

    Args:
        weight: (..., E, R), uniform so that the variance of the R inputs is kept.
        bias: (..., E).
        dt_min, dt_max: Range of the step sizes.
    """
    bound = weight.shape[-1] ** -0.5
    nn.init.uniform_(weight, -bound, bound)
    log_dt = torch.empty_like(bias).uniform_(math.log(dt_min), math.log(dt_max))
    dt = log_dt.exp().clamp(min=1e-4)
    bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # inverse of softplus


@torch.no_grad()
def init_projections(in_proj: nn.Linear, out_proj: nn.Linear, num_layers: int) -> None:
    """``out_proj`` shrinks with the depth of the network (GPT-2), biases are 0."""
    nn.init.kaiming_uniform_(out_proj.weight, a=math.sqrt(5))
    out_proj.weight /= math.sqrt(num_layers)
    for projection in (in_proj, out_proj):
        if projection.bias is not None:
            nn.init.zeros_(projection.bias)


@torch.no_grad()
def make_identity(conv: nn.Conv1d | nn.Conv2d) -> None:
    """Let a depthwise convolution return its input: a causal one of 1-D, a centered one of 2-D."""
    nn.init.zeros_(conv.weight)
    *_, width = conv.weight.shape
    if conv.weight.dim() == 3:
        nn.init.ones_(conv.weight[..., -1])
    else:
        nn.init.ones_(conv.weight[..., width // 2, width // 2])
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


@torch.no_grad()
def open_gate(in_proj: nn.Linear) -> None:
    """SiLU(z) = 1 of the second half of ``in_proj``, whatever the tokens are; it needs a bias."""
    if in_proj.bias is None:
        return
    inner_dims = in_proj.out_features // 2
    nn.init.zeros_(in_proj.weight[inner_dims:])
    nn.init.constant_(in_proj.bias[inner_dims:], SILU_ONE)
