"""Conversations about an image as tokens."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import LongTensor, Tensor
from torch.nn.utils.rnn import pad_sequence

from transmamba_mm.errors import UserError
from transmamba_mm.models.hf.tokenizers import UnknownWords
from transmamba_mm.models.token_batch import IGNORED, CharOffsets

IMAGE = '{image}'

logger = logging.getLogger('transmamba_mm')


@dataclass
class Segment:
    """A run of tokens, and where it has read how much of the turn it belongs to."""

    tokens: list[int]
    char_offsets: CharOffsets = field(default_factory=dict)
    learned: bool = False


@dataclass
class Prompt:
    """A conversation as tokens.

    Attributes:
        tokens, labels (list[int]): Labels are ``IGNORED`` everywhere but at the answers.
        image (int): Where the image goes: before the token of this number.
        char_offsets (CharOffsets): Positions as if there were no image.
    """

    tokens: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    image: int = 0
    char_offsets: CharOffsets = field(default_factory=dict)

    def add(self, piece: Segment) -> None:
        """Append a segment."""
        self.char_offsets |= {
            mark: len(self.tokens) + place for mark, place in piece.char_offsets.items()
        }
        self.tokens += piece.tokens
        self.labels += piece.tokens if piece.learned else [IGNORED] * len(piece.tokens)


class PromptTemplate:
    """A tokenizer and the prompt around questions and answers.

    The first out-of-vocabulary words are logged.

    Args:
        tokenizer: A fast one of transformers. Without a padding token it pads with the token that
            ends an answer (padding is masked, so any does).
        prompt (str): What the model reads of a question: ``{question}`` is in it, and ``{image}``
            where the image goes if that is not in front (only the first question has it).
        answer (str): What it writes: ``{answer}``, with a space before it for tokenizers that count
            the space to the word (GPT-NeoX's, which Mamba has).

    Raises:
        UserError: A prompt without a question; a tokenizer that cannot end an answer or
            without character offsets of its tokens.
    """

    def __init__(self, tokenizer: Any, prompt: str, answer: str = '{answer}') -> None:
        for template, name in ((prompt, '{question}'), (answer, '{answer}')):
            if name not in template:
                raise UserError(f'The template {template!r} has no {name} in it.')
        if tokenizer.eos_token_id is None:
            raise UserError(
                'The tokenizer has no eos_token, so no answer would ever end: set one '
                "(tokenizer.eos_token = '</s>') and save it again."
            )
        if not tokenizer.is_fast:
            raise UserError(
                f'{type(tokenizer).__name__} has no character offsets of its tokens: use '
                'the fast tokenizer of this model (use_fast=True).'
            )
        if tokenizer.pad_token_id is None:
            logger.info('The tokenizer has no pad_token; its eos_token pads, too.')
            tokenizer.pad_token = tokenizer.eos_token
        self.tokenizer = tokenizer
        self.unknown = UnknownWords(tokenizer)
        before, image, after = prompt.partition(IMAGE)
        self.before, self.after = (before, after) if image else ('', prompt)
        self.later = before + after.lstrip('\n') if image else prompt
        self.answer = answer
        # What the tokenizer puts in front of any text, such as Llama's <s>.
        start = tokenizer('')['input_ids']
        self.start = start[:1] if start and start[0] == tokenizer.bos_token_id else []

    def questions(self, texts: Sequence[str], device: torch.device) -> tuple[LongTensor, Tensor]:
        """The bare questions (B, M), padded, and their mask; M is 0 where all are empty."""
        rows = [torch.tensor(self._encode(text)[0], dtype=torch.long) for text in texts]
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        tokens = pad_sequence(rows, batch_first=True, padding_value=self.tokenizer.pad_token_id)
        return tokens.to(device), mask.to(device)

    def __call__(self, turns: Sequence[str]) -> Prompt:
        """Tokens of a conversation.

        Args:
            turns (Sequence[str]): Question, answer, question, ...; it may end with a question that
                is still to be answered. An empty answer has no tokens, not even its end.
        """
        prompt = Prompt()
        prompt.add(Segment(self.start))
        for number, text in enumerate(turns):
            if number % 2:
                prompt.add(self._answer(text.strip(), number))
                continue
            text = text.strip()
            template = self.later
            if number == 0:
                template = self.after
                prompt.add(self._question(self.before, text, number))
                prompt.image = len(prompt.tokens)
            prompt.add(self._question(template, text, number))
            if prompt.tokens:  # about to answer: nothing of it has been read
                prompt.char_offsets[number + 1, 0] = len(prompt.tokens) - 1
        return prompt

    def decode(self, tokens: LongTensor) -> list[str]:
        """Texts of generated tokens (B, T)."""
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [text.strip() for text in texts]

    def _question(self, template: str, text: str, turn: int) -> Segment:
        return self._piece(template, '{question}', text, turn)

    def _answer(self, text: str, turn: int) -> Segment:
        piece = self._piece(self.answer, '{answer}', text, turn)
        if not piece.char_offsets:
            return Segment([])
        piece.char_offsets[turn, len(text) + 1] = len(piece.tokens)
        return Segment(
            [*piece.tokens, self.tokenizer.eos_token_id], piece.char_offsets, learned=True
        )

    def _piece(self, template: str, name: str, text: str, turn: int) -> Segment:
        """A template with a turn's text in it, marked where parts of that text end."""
        before, found, after = template.partition(name)
        tokens, spans = self._encode(before + text * bool(found) + after)
        first, last = len(before), len(before) + len(text) * bool(found)
        char_offsets = {
            (turn, min(end, last) - first): place
            for place, (start, end) in enumerate(spans)
            if start < last and end > first
        }
        return Segment(tokens, char_offsets)

    def _encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        tokens, spans = encoded['input_ids'], encoded['offset_mapping']
        self.unknown.warn_of(text, tokens, spans)
        return tokens, spans
