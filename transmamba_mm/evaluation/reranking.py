"""Re-rank the nearest results of a search by a score too expensive for all pairs."""

from collections.abc import Callable

import torch
from torch import LongTensor, Tensor

from transmamba_mm.errors import UserError


def rerank(
    similarity: Tensor, top_k: int, match: Callable[[LongTensor, LongTensor], Tensor]
) -> Tensor:
    """Put the ``top_k`` nearest of each row into the order of another score.

    They stay in front of all others, whose values do not change. A candidate that is as near as one
    outside of the ``top_k`` is not among them: which of the two it would be is chance, and a model
    that gives everything the same similarity must not gain by it. Equal scores stay equal.

    Args:
        similarity (Tensor): (n, m), queries by candidates.
        top_k (int): How many of each row.
        match (Callable): Of rows (p,) and columns (p,), the scores (p,) of those pairs.

    Returns:
        Tensor: (n, m), to be ranked like ``similarity``.

    Raises:
        UserError: A score is NaN.
    """
    m = similarity.shape[1]
    nearest, places = similarity.topk(min(top_k + 1, m), dim=1)
    is_kept = torch.ones_like(nearest, dtype=torch.bool)
    if m > top_k:
        is_kept = nearest > nearest[:, -1:]
    rows, slots = is_kept.nonzero(as_tuple=True)
    columns = places[rows, slots]
    scores = torch.full_like(nearest, -torch.inf)
    scores[rows, slots] = match(rows, columns).to(scores)
    if scores.isnan().any():
        raise UserError(
            'Matching scores are NaN: the model has diverged. Take an earlier checkpoint.'
        )
    beaten = (scores[:, :, None] > scores[:, None, :]).sum(2)  # others of the row
    ordered = similarity.clone()
    ordered[rows, columns] = (similarity.amax(1)[rows] + 1 + beaten[rows, slots]).to(ordered)
    return ordered
