"""Captions become tokens with an end token and character offsets, padded on the left."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.logging import MMLogger
from torch import nn

from tests.models.retrieval.small_retrieval import (
    CAPTIONS,
    WORDS,
    clip_tokenizer,
    start_and_end_tokenizer,
    word_tokenizer,
)
from transmamba_mm.errors import UserError
from transmamba_mm.models.retrieval.caption_tokenizer import CaptionTokenizer
from transmamba_mm.models.token_batch import IGNORED
from transmamba_mm.transfer.features.token_matching import match_tokens


def read(tokenizer, texts, **kwargs):
    caption_tokenizer = CaptionTokenizer(tokenizer, **kwargs)
    return caption_tokenizer(texts, nn.Embedding(600, 3)), caption_tokenizer


@pytest.mark.parametrize('make', [word_tokenizer, start_and_end_tokenizer])
def test_every_caption_ends_at_the_last_place(make):
    tokenizer = make()
    captions, _ = read(tokenizer, CAPTIONS)
    assert captions.tokens[:, -1].eq(tokenizer.eos_token_id).all()
    for row, text in enumerate(CAPTIONS):
        real = captions.tokens[row][captions.mask[row].bool()].tolist()
        words = tokenizer(text, add_special_tokens=False)['input_ids']
        start = [] if make is word_tokenizer else [tokenizer.bos_token_id]
        assert real == [*start, *words, tokenizer.eos_token_id]
        assert captions.places[row][captions.mask[row].bool()].tolist() == list(range(len(real)))
        assert captions.char_offsets[row][0, len(text) + 1] == captions.tokens.shape[1] - 1
    assert captions.labels.eq(IGNORED).all()
    assert captions.image.shape == (4, 0)
    assert captions.embeddings.shape == (*captions.tokens.shape, 3)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(WORDS), max_size=8))
def test_two_tokenizers_meet_at_the_ends_of_words(words):
    text = ' '.join(words)
    ours, _ = read(word_tokenizer(), [text, 'a b'])
    theirs, _ = read(start_and_end_tokenizer(), [text, 'a b'])
    match = match_tokens(ours, theirs)
    assert (match.rows == 0).sum() == len(words) + 1
    for row, here, there in zip(match.rows, match.student, match.teacher, strict=True):
        pieces = [
            tokenizer.convert_ids_to_tokens(int(captions.tokens[row, place]))
            for tokenizer, captions, place in (
                (word_tokenizer(), ours, here),
                (start_and_end_tokenizer(), theirs, there),
            )
        ]
        assert pieces[0] == pieces[1]


def test_words_meet_the_bytes_of_clip(tmp_path):
    """CLIP's tokenizer cuts smaller: only its last byte of a word meets the word."""
    ours, _ = read(word_tokenizer(), ['a Seven moves'])
    theirs, _ = read(clip_tokenizer(tmp_path), ['a Seven moves'])
    match = match_tokens(ours, theirs)
    assert match.student.tolist() == [0, 1, 2, 3]
    assert match.teacher.tolist() == [1, 6, 11, 12]


@pytest.mark.parametrize('text', ['七が左へ', 'семь ☃', '\n\t ', '</s>', '🙂' * 5])
def test_any_script_is_read(tmp_path, text):
    for tokenizer in (word_tokenizer(), start_and_end_tokenizer(), clip_tokenizer(tmp_path)):
        captions, _ = read(tokenizer, [text])
        assert captions.tokens[0, -1] == tokenizer.eos_token_id


def test_long_captions_are_cut_counted_and_logged_once(caplog):
    MMLogger.get_current_instance().addHandler(caplog.handler)
    tokenizer = start_and_end_tokenizer()
    captions, tokenize = read(tokenizer, ['a b one two', 'a b', 'seven ' * 50], max_tokens=5)
    assert captions.tokens.shape == (3, 5)
    assert captions.tokens[0].tolist() == tokenizer('a b one')['input_ids']
    # What was cut off has not been read, and is nowhere marked as read.
    assert max(captions.char_offsets[0]) == (0, len('a b one'))
    assert (0, len('a b') + 1) in captions.char_offsets[1]
    MMLogger.get_current_instance().removeHandler(caplog.handler)
    assert tokenize.num_truncated == 2
    assert len([r for r in caplog.records if 'truncated to the 5' in r.message]) == 1


def test_tokenizers_that_cannot_be_used():
    tokenizer = word_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(UserError, match='no eos_token'):
        CaptionTokenizer(tokenizer)
    with pytest.raises(UserError, match='max_tokens=1'):
        CaptionTokenizer(word_tokenizer(), max_tokens=1)


def test_tokens_are_where_the_words_are():
    caption_tokenizer = CaptionTokenizer(word_tokenizer())
    embed = nn.Embedding(30, 3, device='meta')
    assert caption_tokenizer(['a b'], embed).mask.device == torch.device('meta')
