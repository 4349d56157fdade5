"""A tokenizer of whole words, for data with a small vocabulary."""

from collections.abc import Sequence
from typing import Any

from transmamba_mm.errors import UserError
from transmamba_mm.registry import DATASETS, TOKENIZERS

PAD, END, UNKNOWN = '<pad>', '</s>', '<unk>'


@TOKENIZERS.register_module(name='WordTokenizer')
def build_word_tokenizer(words: Sequence[str] | str) -> Any:
    """Build a fast tokenizer of transformers with these words as its vocabulary.

    Texts are lower-cased and split at white space and around punctuation. A word that is not in the
    list becomes ``<unk>``. It pads on the left, and ``</s>`` ends an answer.

    Args:
        words (Sequence[str] | str): Words and punctuation marks, in the order of their numbers, or
            the name of a data set that lists its ``WORDS``, such as 'EasyVQA'.

    Raises:
        UserError: A word twice, one that would be split, a data set that does not list its words.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    if isinstance(words, str):
        words = _words_of(words)
    splitter = pre_tokenizers.BertPreTokenizer()
    for word in words:
        if word != word.lower() or len(splitter.pre_tokenize_str(word)) != 1:
            raise UserError(f'{word!r} is not one word in lower case: list its parts instead.')
    tokens = [PAD, END, UNKNOWN, *words]
    if len(set(tokens)) != len(tokens):
        twice = sorted({word for word in words if tokens.count(word) > 1})
        raise UserError(f'WordTokenizer lists words twice: {", ".join(twice)}.')
    core = Tokenizer(
        models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token=UNKNOWN)
    )
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = splitter
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        padding_side='left',
    )


def _words_of(name: str) -> Sequence[str]:
    words = getattr(DATASETS.get(name), 'WORDS', None)
    if words is None:
        raise UserError(f'No data set {name!r} lists its words: give the words as a list.')
    return words
