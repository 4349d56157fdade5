"""Dao-AILab's ``causal_conv1d`` for channel-last tokens, on our backends."""

from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.ops.directional_conv1d import directional_conv1d


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str | None = None,
    reverse: bool = False,
    backend: str = 'auto',
) -> Tensor:
    """Convolve along one traversal; see :func:`transmamba_mm.ops.directional_conv1d`.

    Args:
        x: (B, L, E).
        weight: (E, W), or (E, 1, W) as ``nn.Conv1d`` keeps it.
        bias: (E,) or None.
        activation: None or 'silu'.
        reverse: whether the traversal runs from the last token to the first.
        backend: a backend's name or 'auto'.

    Returns:
        (B, L, E) in the dtype of ``x``.

    Raises:
        UserError: shapes that do not fit, an unknown activation, or a backend that cannot be used.
    """
    if weight.dim() == 3 and weight.shape[1] == 1:
        weight = weight.squeeze(1)
    if weight.dim() != 2:
        raise UserError(f'weight must be (E, W) or (E, 1, W), but is {tuple(weight.shape)}')
    bias = None if bias is None else bias[None]
    return directional_conv1d(x, weight[None], bias, (reverse,), activation, backend)[0]
