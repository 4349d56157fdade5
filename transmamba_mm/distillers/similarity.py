"""How alike the tokens of two models are."""

import torch.nn.functional as F
from torch import Tensor


def token_cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """Cosine similarity of matching tokens, averaged: the ``cos_i`` of TransMamba v1.

    Tokens are compared one by one and the average does not care about their order, so permuting
    both sides by the same traversal changes nothing. That is why the paper's "backward scan against
    the reversed teacher" is computed here in canonical order, for any number of directions.

    For features that are layer-normed without affine, as ``LatentProjector`` makes them, the mean
    squared error is ``2 * (1 - cos)``: there is no need to offer it beside the cosine.

    Args:
        student, teacher (Tensor): (B, L, D), token l of one beside token l of the other.

    Returns:
        Tensor: A scalar in [-1, 1], in float32 also inside autocast.
    """
    return F.cosine_similarity(student.float(), teacher.float(), dim=-1).mean()
