"""Similarities of the tokens of two models."""

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


def token_affinity(tokens: Tensor) -> Tensor:
    """Cosine similarity of every token with every other of the same image: (B, L, L), float32."""
    directions = F.normalize(tokens.float(), dim=-1)
    return directions @ directions.mT


def affinity_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the token affinities of (B, L, Ds) and (B, L, Dt): a scalar.

    It compares how tokens relate within each model, so widths may differ and nothing is projected
    (in the spirit of ViT-Linearizer's activation matching, arXiv 2504.00037).
    """
    return F.mse_loss(token_affinity(student), token_affinity(teacher))


def embedding_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """``mean_b |s_b - t_b|^2 / |t_b|^2`` of embeddings (B, D): a scalar in float32.

    Of unit vectors it is the feature loss of CLIP-KD (arXiv 2307.12732).
    """
    student, teacher = student.float(), teacher.float()
    return ((student - teacher).square().sum(-1) / teacher.square().sum(-1)).mean()
