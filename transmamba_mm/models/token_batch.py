"""Padded batches of tokens with their character offsets."""

from dataclasses import dataclass

import torch
from torch import LongTensor, Tensor
from torch.nn.utils.rnn import pad_sequence

IGNORED = -100  # of labels, as transformers' loss has it

#: Where a row has read how much: (turn, characters of that turn) -> position.
CharOffsets = dict[tuple[int, int], int]


@dataclass
class TokenBatch:
    """Input of a language model, padded on the left.

    Attributes:
        embeddings (Tensor): (B, T, D).
        mask (Tensor): (B, T), 0 for padding.
        labels (LongTensor): (B, T), the tokens to learn and ``IGNORED`` everywhere else.
        image (LongTensor): (B, L), the positions of the image's patches; L is 0 without an image.
        char_offsets (list[CharOffsets]): For each row, the position at which a number of
            characters of a turn is complete; it aligns models with different tokenizers.
    """

    embeddings: Tensor
    mask: Tensor
    labels: LongTensor
    image: LongTensor
    char_offsets: list[CharOffsets]

    @property
    def num_endings(self) -> int:
        """From the end, how many positions predict or are labels: where logits are needed."""
        labeled = self.labels.ne(IGNORED).any(0).nonzero()
        return self.labels.shape[1] - int(labeled[0]) + 1 if len(labeled) else 1

    def labels_ahead(self, length: int) -> LongTensor:
        """For each of the last ``length`` positions the label it predicts, (B, length)."""
        ahead = self.labels[:, -length:].roll(-1, dims=1)
        ahead[:, -1] = IGNORED
        return ahead

    def pick_answers(self, values: Tensor) -> Tensor:
        """Select values (B, T', D) of the last T' positions that predict a label: (N, D)."""
        return values[self.labels_ahead(values.shape[1]) != IGNORED]


@dataclass
class TokenRow:
    """One sequence before padding; fields as in :class:`TokenBatch`, with T of its own."""

    embeddings: Tensor
    labels: LongTensor
    image: LongTensor
    char_offsets: CharOffsets


def pad_rows(rows: list[TokenRow]) -> TokenBatch:
    """Pad rows on the left to one length."""
    length = max(len(row.labels) for row in rows)
    shifts = [length - len(row.labels) for row in rows]

    def pad(parts: list[Tensor], value: float = 0) -> Tensor:
        return pad_sequence(parts, batch_first=True, padding_value=value, padding_side='left')

    return TokenBatch(
        embeddings=pad([row.embeddings for row in rows]),
        mask=pad([torch.ones_like(row.labels) for row in rows]),
        labels=pad([row.labels for row in rows], IGNORED),
        image=torch.stack([row.image + shift for row, shift in zip(rows, shifts, strict=True)]),
        char_offsets=[
            {mark: place + shift for mark, place in row.char_offsets.items()}
            for row, shift in zip(rows, shifts, strict=True)
        ],
    )
