"""Match the tokens of two models with different tokenizers by their character offsets."""

from dataclasses import dataclass

import torch
from torch import Tensor

from transmamba_mm.models.token_batch import TokenBatch


@dataclass(frozen=True)
class TokenMatch:
    """Places in two padded batches where both models have read the same.

    A causal model's token represents the text up to it. So two tokens match
    where exactly as many characters of a turn have been read, whatever pieces led there; a token
    that ends where no token of the other model does has no match.

    Attributes:
        rows, student, teacher (Tensor): (N,) sequence, position of the student, of the teacher.
    """

    rows: Tensor
    student: Tensor
    teacher: Tensor


def match_tokens(student: TokenBatch, teacher: TokenBatch) -> TokenMatch:
    """Match the tokens of B conversations, read by two models."""
    found = [
        (row, place, theirs[mark])
        for row, (ours, theirs) in enumerate(
            zip(student.char_offsets, teacher.char_offsets, strict=True)
        )
        for mark, place in ours.items()
        if mark in theirs
    ]
    places = torch.tensor(found, dtype=torch.long, device=student.mask.device).view(-1, 3)
    return TokenMatch(places[:, 0], places[:, 1], places[:, 2])


def pick_tokens(tokens: Tensor, rows: Tensor, places: Tensor) -> Tensor:
    """Tokens (N, D) of a batch (B, T, D)."""
    return tokens[rows, places]


def pick_patches(tokens: Tensor, image: Tensor) -> Tensor:
    """Patches (B, L, D) inside the sequences (B, T, D)."""
    return tokens.gather(1, image.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
