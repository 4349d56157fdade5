"""Norms that OpenMMLab recognizes as such."""

import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.LayerNorm):
    """Root mean square norm (arXiv 1910.07467), with the weights and numbers of torch's.

    It is a LayerNorm without mean and bias to mmengine and mmpretrain, whose ``is_norm`` does not
    include torch's own RMSNorm: ``norm_decay_mult`` and tools that search for norms would miss it.

    Args:
        embed_dims (int): Width D.
        eps (float): Added to the mean square.
    """

    def __init__(self, embed_dims: int, eps: float) -> None:
        super().__init__(embed_dims, eps, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (..., D)."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)
