"""Refit an MLP to a subset of its hidden channels."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

#: By activation: the slope s for which it is SiLU(s a) / s. GELU is so to within 0.0203 (Hendrycks
#: & Gimpel, arXiv 1606.08415), quick_gelu is a sigmoid(1.702 a).
SLOPES = {'quick_gelu': 1.702, 'quickgelu': 1.702, 'silu': 1.0, 'swish': 1.0}
SLOPES |= dict.fromkeys(('gelu', 'gelu_new', 'gelu_fast', 'gelu_pytorch_tanh'), 1.702)
#: Share of the mean second moment that is added to all of them, so that they can be inverted.
RIDGE = 1e-4
#: Random inputs: the minimum, and the number per kept channel.
SAMPLES, SAMPLES_EACH = 8192, 8


def hidden_refit(
    teacher: Mapping[str, Tensor], layer: int, kept: Tensor, slope: float, constants: bool
) -> Tensor:
    """Express each hidden channel of an MLP by the kept ones.

    With hidden channels h = act(W n + b) of normalized Gaussian inputs n, and those k that a
    student has, ``SiLU(s a) / s`` of its a, the matrix M (H, E) minimizes ``E |h - M k|^2``. So
    ``fc2 M`` is the best that the kept channels can do for the MLP's output to the stream. No data
    is needed: real inputs are not Gaussian, but hidden channels that are alike for all directions
    are alike for those, too.

    Args:
        teacher (Mapping[str, Tensor]): Weights by canonical names.
        layer (int): Number of the layer.
        kept (Tensor): (E,) hidden channels.
        slope (float): Of the activation, see ``SLOPES``.
        constants (bool): Whether the student reads the biases of the norm and of ``fc1``.

    Returns:
        Tensor: (H, E), float32 on the CPU.
    """
    name = f'layers.{layer}.'
    parts = ('norm2.weight', 'norm2.bias', 'mlp.fc1.weight', 'mlp.fc1.bias')
    scale, shift, fc1, bias = (_float(teacher.get(name + part)) for part in parts)
    assert fc1 is not None
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(max(SAMPLES, SAMPLES_EACH * len(kept)), fc1.shape[1], generator=generator)
    inputs = F.layer_norm(inputs, inputs.shape[1:], scale)
    hidden = F.linear(inputs, fc1)
    constant = hidden.new_zeros(len(fc1)) if bias is None else bias
    if shift is not None:
        constant = constant + fc1 @ shift
    ours = F.silu(slope * (hidden + constant if constants else hidden)[:, kept]) / slope
    theirs = F.silu(slope * (hidden + constant)) / slope
    moments = (ours.T @ ours).double()
    moments += RIDGE * moments.diagonal().mean() * torch.eye(len(kept), dtype=torch.double)
    return torch.linalg.solve(moments, (ours.T @ theirs).double()).T.float()


def _float(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().cpu().float()
