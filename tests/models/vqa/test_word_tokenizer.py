"""A tokenizer of words maps its vocabulary, pads on the left and survives being saved."""

import easy_vqa
import pytest
from transformers import AutoTokenizer

from transmamba_mm.errors import UserError
from transmamba_mm.registry import TOKENIZERS


def build(words):
    return TOKENIZERS.build({'type': 'WordTokenizer', 'words': words})


def test_covers_every_word_of_easy_vqa():
    tokenizer = build('EasyVQA')
    for questions, answers, _ in (easy_vqa.get_train_questions(), easy_vqa.get_test_questions()):
        for text in {*questions, *answers}:
            tokens = tokenizer(text)['input_ids']
            assert tokenizer.unk_token_id not in tokens
            assert tokenizer.decode(tokens).replace(' ?', '?') == text.lower()


def test_a_foreign_word_is_unknown_and_padding_is_on_the_left():
    tokenizer = build(['is', 'it', '?'])
    batch = tokenizer(['Is it blue?', 'it'], padding=True)['input_ids']
    ids = tokenizer.convert_tokens_to_ids
    assert batch == [ids(['is', 'it', '<unk>', '?']), ids(['<pad>'] * 3 + ['it'])]


def test_saved_and_loaded_by_transformers(tmp_path):
    tokenizer = build('EasyVQA')
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    question = 'What color is the circle?'
    assert loaded(question)['input_ids'] == tokenizer(question)['input_ids']
    assert loaded.padding_side == 'left' and loaded.eos_token == '</s>'


@pytest.mark.parametrize(
    'words, message',
    [
        (['a', 'b', 'a'], 'twice: a'),
        (['Red'], 'not one word'),
        (['two words'], 'not one word'),
        ('Digits', 'lists its words'),
        ('Nothing', 'lists its words'),
    ],
)
def test_what_cannot_be_a_vocabulary(words, message):
    with pytest.raises(UserError, match=message):
        build(words)
