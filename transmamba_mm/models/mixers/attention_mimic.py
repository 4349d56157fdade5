"""A scan that starts as an average of values, as attention is one."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.models.mixers.scan_init import SILU_ONE

#: Softplus of it is 1: a token enters the state as it is.
UNIT_STEP = 0.5413248546129181
#: Share of the mean second moment that is added to all of them, so that they can be inverted.
RIDGE = 1e-4


class AttentionMimic(ABC):
    """A mixer that can start like attention.

    It reads values and gate with ``in_proj`` and writes with ``out_proj``.

    Attention is ``sum_j a_ij v_j``, a scan ``sum_j (C_i . B_j) exp(A sum dt) dt_j u_j + D u_i``. So
    they are alike with u = v, dt = 1, an open gate and no D, where ``C_i . B_j`` is a constant and
    the decay is how far back attention reaches.
    """

    in_proj: Any
    out_proj: Any

    @abstractmethod
    def pass_values(self) -> None:
        """Let the scan read and write values as they are, in place.

        The convolution is the identity and, where ``in_proj`` has a bias to open it, the gate is 1.
        dt, B, C and D stay: B and C are random, and steps of 1 would add up their noise.
        """

    def fit_gate(self, hidden: Tensor) -> None:
        """Open a gate without a bias for these tokens, as far as a linear map of them can."""
        gate = self.in_proj.weight[self.out_proj.in_features :]
        if self.in_proj.bias is None and len(gate):
            gate.copy_(read_constant(hidden, SILU_ONE).expand_as(gate))

    def average_values(self, decay: Tensor, hidden: Tensor, *path: Any) -> None:
        """Start as an average of values that decays with their distance, in place.

        On top of :meth:`pass_values`: steps are 1, D is 0, the gate is open for these tokens, and
        C . B is 1 on average for them, in the first state; the other states are written, but not
        read yet.

        Args:
            decay (Tensor): (K, E) of each direction and channel: share that is left after a token.
            hidden (Tensor): Tokens, as the mixer takes them.
            *path: Other arguments of the mixer.

        Raises:
            UserError: A mixer of text.
        """
        raise UserError(
            f'{type(self).__name__} mixes text: calibration is for mixers of images alone.'
        )


def mimic_of(module: Any) -> Any:
    """The mixer that can start like attention in a module, or None."""
    return next((part for part in module.modules() if isinstance(part, AttentionMimic)), None)


def read_constant(tokens: Tensor, value: float = 1.0) -> Tensor:
    """The vector w (D,) with which ``tokens @ w`` is as close to ``value`` as it gets.

    Args:
        tokens (Tensor): (..., D).
        value (float): The constant.
    """
    flat = tokens.flatten(0, -2).double()
    moments = flat.T @ flat / len(flat)
    moments += RIDGE * moments.diagonal().mean() * torch.eye(len(moments)).to(moments)
    return torch.linalg.solve(moments, flat.mean(0) * value).to(tokens.dtype)


def decay_log(decay: Tensor, num_states: int) -> Tensor:
    """``A_log`` (..., N) with which state n keeps ``decay ** n`` of itself over a step of 1."""
    states = torch.arange(1, num_states + 1, device=decay.device)
    return (-decay.log()[..., None] * states).log()


def read_average(x_proj: Tensor, u: Tensor, num_states: int) -> Tensor:
    """Rows (R + 2N, E) for dt, B and C with which C . B is 1 on average.

    Args:
        x_proj (Tensor): (R + 2N, E) to start from; the rows of dt and of other B stay.
        u (Tensor): (..., E) scanned tokens.
        num_states (int): N.
    """
    rows, one = x_proj.clone(), read_constant(u)
    rows[-num_states:] = 0
    rows[-2 * num_states] = rows[-num_states] = one
    return rows
