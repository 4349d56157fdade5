"""Questions and answers as tokens."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import LongTensor, Tensor
from torch.nn.utils.rnn import pad_sequence

from transmamba_mm.errors import UserError

IGNORED = -100  # of labels, as transformers' loss has it

logger = logging.getLogger('transmamba_mm')


class Prompting:
    """A tokenizer and the words around a question.

    Args:
        tokenizer: Of transformers. Without a padding token it pads with the token that ends an
            answer (padding is masked, so any does).
        template (str): What the model reads, with ``{question}`` in it.

    Raises:
        UserError: A template without a question; a tokenizer that cannot end an answer.
    """

    def __init__(self, tokenizer: Any, template: str) -> None:
        if '{question}' not in template:
            raise UserError(f'The prompt {template!r} has no {{question}} in it.')
        if tokenizer.eos_token_id is None:
            raise UserError(
                'The tokenizer has no eos_token, so no answer would ever end: set one '
                "(tokenizer.eos_token = '</s>') and save it again."
            )
        if tokenizer.pad_token_id is None:
            logger.info('The tokenizer has no pad_token; its eos_token pads, too.')
            tokenizer.pad_token = tokenizer.eos_token
        self.tokenizer = tokenizer
        self.template = template

    def questions(self, texts: Sequence[str], device: torch.device) -> tuple[LongTensor, Tensor]:
        """The bare questions (B, M), padded, and their mask; M is 0 where all are empty."""
        rows = [self._tokens(text, device) for text in texts]
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        tokens = pad_sequence(rows, batch_first=True, padding_value=self.tokenizer.pad_token_id)
        return tokens, mask

    def prompts(self, texts: Sequence[str], device: torch.device) -> list[LongTensor]:
        """What the language model reads behind the image, one row per question."""
        return [self._tokens(self.template.format(question=text), device) for text in texts]

    def answers(self, texts: Sequence[str], device: torch.device) -> list[LongTensor]:
        """The tokens of each answer and its end; none at all of an answer without tokens."""
        end = torch.tensor([self.tokenizer.eos_token_id], device=device)
        rows = [self._tokens(text, device) for text in texts]
        return [torch.cat([row, end]) if len(row) else row for row in rows]

    def decode(self, tokens: LongTensor) -> list[str]:
        """Texts of generated tokens (B, T)."""
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [text.strip() for text in texts]

    def _tokens(self, text: str, device: torch.device) -> LongTensor:
        ids = self.tokenizer(text.strip(), add_special_tokens=False)['input_ids']
        return torch.tensor(ids, dtype=torch.long, device=device)
