"""Captions as tokens."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.logging import print_log
from torch import LongTensor, Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from transmamba_mm.errors import UserError
from transmamba_mm.models.hf.tokenizers import UnknownWords
from transmamba_mm.models.token_batch import IGNORED, CharOffsets, TokenBatch


@dataclass
class Captions(TokenBatch):
    """Captions that a text tower reads; the last place of every row has read all of its caption.

    Attributes:
        tokens (LongTensor): (B, T).
    """

    tokens: LongTensor

    @property
    def places(self) -> LongTensor:
        """Place (B, T) of each token in its own caption; 0 for padding."""
        return (self.mask.cumsum(1) - 1).clamp(min=0)


class CaptionTokenizer(nn.Module):
    """Turns texts into tokens that end with the tokenizer's ``eos_token``, padded on the left.

    An empty text is the tokenizer's special tokens alone; out-of-vocabulary words become its
    unknown token or bytes. A text of more than ``max_tokens`` loses its end, but not the
    ``eos_token``. The first unknown words and the first truncated text are logged.

    It has no parameters; it is a module so that a transfer can record its output.

    Args:
        tokenizer: A fast one of transformers.
        max_tokens (int, optional): Places of the text tower; by default there is no limit.

    Attributes:
        num_truncated (int): How many texts were cut so far.
        unknown (UnknownWords): How many had unknown words.

    Raises:
        UserError: A tokenizer without an ``eos_token``, or one without character
            offsets of its tokens; fewer ``max_tokens`` than two.
    """

    def __init__(self, tokenizer: Any, max_tokens: int | None = None) -> None:
        super().__init__()
        if tokenizer.eos_token_id is None:
            raise UserError(
                'The tokenizer has no eos_token, where the embedding of a caption is read: set one '
                "(tokenizer.eos_token = '</s>') and save it again."
            )
        if max_tokens is not None and max_tokens < 2:
            raise UserError(
                f'max_tokens={max_tokens} leaves no token of a caption besides its end: set at '
                'least 2, or None.'
            )
        if not tokenizer.is_fast:
            raise UserError(
                f'{type(tokenizer).__name__} has no character offsets of its tokens: use '
                'the fast tokenizer of this model (use_fast=True).'
            )
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.num_truncated = 0
        self.unknown = UnknownWords(tokenizer)

    def forward(self, texts: Sequence[str], embed: nn.Module) -> Captions:
        """Tokens of B texts, on the device of ``embed``, which turns (B, T) into (B, T, D)."""
        rows, char_offsets = zip(*(self._encode(text.strip()) for text in texts), strict=True)
        longest, end = max(map(len, rows)), self.tokenizer.eos_token_id
        tokens, mask = (
            pad_sequence(parts, batch_first=True, padding_value=value, padding_side='left')
            for parts, value in (
                ([torch.tensor(row) for row in rows], end),
                ([torch.ones(len(row), dtype=torch.long) for row in rows], 0),
            )
        )
        device = next(embed.parameters()).device
        tokens, mask = tokens.to(device), mask.to(device)
        return Captions(
            embeddings=embed(tokens),
            mask=mask,
            labels=torch.full_like(tokens, IGNORED),
            image=tokens.new_empty(len(rows), 0),
            char_offsets=[
                {mark: place + longest - len(row) for mark, place in found.items()}
                for row, found in zip(rows, char_offsets, strict=True)
            ],
            tokens=tokens,
        )

    def _encode(self, text: str) -> tuple[list[int], CharOffsets]:
        """Tokens of one text, and where they have read how much of it."""
        encoded = self.tokenizer(text, return_offsets_mapping=True, verbose=False)
        tokens, spans = list(encoded['input_ids']), list(encoded['offset_mapping'])
        self.unknown.warn_of(text, tokens, spans)
        end = self.tokenizer.eos_token_id
        if not tokens or tokens[-1] != end:
            tokens, spans = [*tokens, end], [*spans, (0, 0)]
        cut = self.max_tokens is not None and len(tokens) > self.max_tokens
        if cut:
            self._count_truncated(text, len(tokens))
            tokens = [*tokens[: self.max_tokens - 1], end]
            spans = [*spans[: self.max_tokens - 1], (0, 0)]
        char_offsets = {
            (0, last): place for place, (first, last) in enumerate(spans) if last > first
        }
        if not cut:
            char_offsets[0, len(text) + 1] = len(tokens) - 1
        return tokens, char_offsets

    def _count_truncated(self, text: str, count: int) -> None:
        self.num_truncated += 1
        if self.num_truncated == 1:
            print_log(
                f'A caption of {count} tokens is truncated to the {self.max_tokens} that the text '
                f'tower reads, and longer ones after it: {text[:60]}...',
                logger='current',
                level=logging.WARNING,
            )


def encode_tokens(model: Any, captions: Captions) -> Tensor:
    """Encode each token with a text tower, after its last norm: (B, T, D).

    Args:
        model: A ``CLIPTextModel`` of transformers, a
            :class:`~transmamba_mm.models.hf.MambaLM`, a
            :class:`~transmamba_mm.models.hf.CausalAttentionSwap` or another causal model of tokens.
        captions (Captions): Of a :class:`CaptionTokenizer`.
    """
    inputs = {'input_ids': captions.tokens, 'attention_mask': captions.mask}
    if max_positions(model) is not None:
        inputs['position_ids'] = captions.places
    return model.base_model(**inputs).last_hidden_state


def max_positions(model: Any) -> int | None:
    """Number of positions of a text tower; None without positions."""
    return getattr(model.config, 'max_position_embeddings', None)
