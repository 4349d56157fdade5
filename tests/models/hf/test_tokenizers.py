"""Out-of-vocabulary words are logged once, and listed on request."""

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from tests.models.retrieval.small_retrieval import (
    build,
    clip_tokenizer,
    start_and_end_tokenizer,
    word_tokenizer,
)
from transmamba_mm.errors import UserError
from transmamba_mm.models.hf.tokenizers import split_words
from transmamba_mm.models.retrieval.caption_tokenizer import CaptionTokenizer
from transmamba_mm.models.vqa.prompt_template import PromptTemplate


@pytest.mark.parametrize('make', [word_tokenizer, start_and_end_tokenizer])
def test_known_and_unknown_words(make):
    assert split_words(make(), 'a seven moves') == (['a', 'seven', 'moves'], [])
    assert split_words(make(), 'a zebra moves') == (['a', 'moves'], ['zebra'])
    known, unknown = split_words(make(), '七 向左')
    assert known == [] and ''.join(unknown) == '七向左'


def test_a_tokenizer_of_bytes_has_no_unknown_words(tmp_path):
    known, unknown = split_words(clip_tokenizer(tmp_path), 'seven 七')
    assert known and not unknown


@pytest.fixture
def warned(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield lambda: [r.getMessage() for r in caplog.records if '<unk>' in r.getMessage()]
    logger.removeHandler(caplog.handler)


def test_captions_with_unknown_words_are_counted_and_logged_once(warned):
    caption_tokenizer = CaptionTokenizer(word_tokenizer())
    caption_tokenizer(['a seven', ''], nn.Embedding(30, 3))
    assert caption_tokenizer.unknown.num_texts == 0 and not warned()
    caption_tokenizer(['a zebra and a zebra', '七', 'a two'], nn.Embedding(30, 3))
    assert caption_tokenizer.unknown.num_texts == 2
    (text,) = warned()
    assert '<unk>: zebra and' in text


def test_the_end_of_a_text_is_no_unknown_word(tmp_path, warned):
    caption_tokenizer = CaptionTokenizer(
        clip_tokenizer(tmp_path)
    )  # its end is its unknown token, too
    caption_tokenizer(['a seven 七'], nn.Embedding(600, 3))
    assert caption_tokenizer.unknown.num_texts == 0 and not warned()


def test_questions_answers_and_the_words_around_them(warned):
    prompt_template = PromptTemplate(word_tokenizer(), 'the {question}')
    prompt_template(['a two', 'seven'])
    prompt_template.questions(['seven'], torch.device('cpu'))
    assert not warned()
    prompt_template(['a two', 'zebra'])
    assert prompt_template.unknown.num_texts == 1 and 'zebra' in warned()[0]
    other = PromptTemplate(word_tokenizer(), 'Question: {question}')
    other(['a two'])
    assert 'Question :' in warned()[1]


@pytest.mark.parametrize('kind', ['VideoTextRetriever', 'Clip4ClipTeacher'])
def test_a_name_alone_is_no_tokenizer(kind):
    message = r"'WordTokenizer' is a name alone: write dict\(type='WordTokenizer', \.\.\.\)"
    with pytest.raises(UserError, match=message):
        build(type=kind, tokenizer='WordTokenizer')


def test_transformers_tokenizers_by_their_folder(tmp_path):
    word_tokenizer().save_pretrained(tmp_path)
    config = {'type': 'AutoTokenizer', 'name_or_path': str(tmp_path)}
    caption_tokenizer = build(tokenizer=config).caption_tokenizer
    assert caption_tokenizer.tokenizer.padding_side == 'left'
    assert split_words(caption_tokenizer.tokenizer, 'a zebra') == (['a'], ['zebra'])
    with pytest.raises(UserError, match='nowhere/at/all has no tokenizer'):
        build(tokenizer={**config, 'name_or_path': 'nowhere/at/all'})
