"""Tokenizers of transformers, and their out-of-vocabulary words."""

import logging
from collections.abc import Sequence
from typing import Any

from mmengine.logging import print_log

from transmamba_mm.registry import TOKENIZERS

SHOWN = 8  # unknown words shown in the log


@TOKENIZERS.register_module(name='AutoTokenizer')
def build_auto_tokenizer(name_or_path: str, **kwargs) -> Any:
    """Read a tokenizer as transformers' ``AutoTokenizer`` does; it pads on the left.

    mmpretrain has one of this name that it leaves out beside the newer transformers.

    Args:
        name_or_path (str): A folder of ``save_pretrained``, or a name on the hub.
        **kwargs: Of ``from_pretrained``.

    Raises:
        UserError: There is none.
    """
    from transmamba_mm.models.hf.pretrained import load_tokenizer

    return load_tokenizer(name_or_path, **kwargs)


def split_words(tokenizer: Any, text: str) -> tuple[list[str], list[str]]:
    """Split a text into words inside and outside a fast tokenizer's vocabulary.

    Of those that read bytes, such as CLIP's, nothing is unknown.
    """
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    tokens, spans = encoded['input_ids'], encoded['offset_mapping']
    unknown = _unknown(tokenizer, text, tokens, spans)
    known = [
        text[first:last]
        for token, (first, last) in zip(tokens, spans, strict=True)
        if last > first and token != tokenizer.unk_token_id
    ]
    return known, unknown


class UnknownWords:
    """Warn once of out-of-vocabulary words.

    Args:
        tokenizer: A fast one of transformers.

    Attributes:
        num_texts (int): How many texts had such words so far.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.num_texts = 0

    def warn_of(self, text: str, tokens: Sequence[int], spans: Sequence[tuple[int, int]]) -> None:
        """Check the tokens of a text for the unknown token."""
        if self.tokenizer.unk_token_id not in tokens:
            return
        words = _unknown(self.tokenizer, text, tokens, spans)
        self.num_texts += bool(words)
        if words and self.num_texts == 1:
            some = ' '.join(dict.fromkeys(words[:SHOWN]))
            print_log(
                f'Out-of-vocabulary words are mapped to {self.tokenizer.unk_token}: {some} (shown '
                'once). Use a tokenizer that covers the words and the script of this data set.',
                logger='current',
                level=logging.WARNING,
            )


def _unknown(
    tokenizer: Any, text: str, tokens: Sequence[int], spans: Sequence[tuple[int, int]]
) -> list[str]:
    # Tokens without a place in the text are special ones; CLIP's end is its unknown token, too.
    return [
        text[first:last]
        for token, (first, last) in zip(tokens, spans, strict=True)
        if last > first and token == tokenizer.unk_token_id
    ]
