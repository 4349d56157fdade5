"""The adaptive layer weights of WSAB."""

import torch
from torch import Tensor

WEIGHTINGS = ('ratio', 'softmax', 'uniform')
#: A cosine below this counts as this in 'ratio': the paper's formula divides by it, and a layer
#: that points away from its teacher would get a negative weight.
COS_FLOOR = 0.1


def layer_weights(cosines: Tensor, weighting: str, tau: float) -> Tensor:
    """Weigh n layers by how much they lag behind their teacher.

    Layers that are equally good weigh 1 each under every scheme, so that changing the scheme does
    not change the strength of the whole term.

    * ``'ratio'``, TransMamba v1: ``w_i = sum_j cos_j / cos_i``. Ours: no gradient flows through the
      weights, the cosines are clamped from below at ``COS_FLOOR``, the sum is divided by n.
    * ``'softmax'``, ours: ``w_i = n * softmax_i((1 - cos_i) / tau)``, bounded whatever the signs.
    * ``'uniform'``: ``w_i = 1``.

    Args:
        cosines (Tensor): Cosine similarity of each layer, (n,).
        weighting (str): One of ``WEIGHTINGS``.
        tau (float): Temperature of 'softmax'; small is sharp.

    Returns:
        Tensor: Weights (n,), detached.
    """
    cosines = cosines.detach()
    if weighting == 'ratio':
        cosines = cosines.clamp(min=COS_FLOOR)
        return cosines.mean() / cosines
    if weighting == 'softmax':
        return len(cosines) * torch.softmax((1 - cosines) / tau, dim=0)
    return torch.ones_like(cosines)
