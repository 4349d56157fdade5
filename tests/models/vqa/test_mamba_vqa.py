"""MambaVQA answers; an answer depends only on its own image and question."""

import pytest
import torch
from mmpretrain.structures import DataSample
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from transmamba_mm.errors import UserError
from transmamba_mm.models.token_batch import IGNORED
from transmamba_mm.registry import MODELS

TEXT = 'question : answer what color is it red ? blue yes no a very long way to ask the'
VIM = {
    'type': 'transmamba_mm.Vim',
    'arch': {'embed_dims': 16, 'num_layers': 2, 'state_dims': 4},
    'img_size': 8,
    'patch_size': 4,
    'out_type': 'featmap',
}
LANGUAGE = {
    'type': 'transmamba_mm.MambaLM',
    'config': {'vocab_size': 32, 'hidden_size': 24, 'num_hidden_layers': 2, 'state_size': 4},
}
CROSS = {'type': 'transmamba_mm.CrossMamba', 'state_dims': 4}
QUESTIONS = ['what color is it ?', 'is it red ?', 'a very long way to ask what color it is ?', '']


def word_tokenizer(**special):
    vocabulary = {word: i for i, word in enumerate(['<unk>', '</s>', '<pad>', *TEXT.split()])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token='<unk>'))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {'unk_token': '<unk>', 'eos_token': '</s>', 'pad_token': '<pad>', **special}
    return PreTrainedTokenizerFast(tokenizer_object=core, **names)


def build(cross=CROSS, **arguments):
    torch.manual_seed(0)
    arguments = {'prompt': 'question : {question} answer :', 'max_answer_tokens': 4, **arguments}
    parts = {'vision': VIM, 'language': LANGUAGE, 'tokenizer': word_tokenizer()}
    model = MODELS.build({'type': 'MambaVQA', 'cross_mamba': cross, **parts, **arguments})
    model.init_weights()
    return model.eval()


def samples(questions, answers=None):
    items = [DataSample() for _ in questions]
    for i, item in enumerate(items):
        item.set_field(questions[i], 'question')
        if answers is not None:
            item.set_field(answers[i], 'gt_answer')
    return items


def images(count):
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('arguments', [{'max_answer_tokens': 0}, {'num_beams': 0}])
def test_answers_of_no_tokens_or_no_beams_are_refused(arguments):
    ((name, _),) = arguments.items()
    with pytest.raises(UserError, match=f'{name}=0 of MambaVQA has to be'):
        build(**arguments)


@pytest.mark.parametrize('part', ['vision', 'language', 'cross', 'tokenizer'])
def test_the_name_of_a_part_alone_is_no_config(part):
    with pytest.raises(UserError, match=r"'Any' is a name alone: write dict\(type='Any'"):
        build(**{part: 'Any'})


@pytest.mark.parametrize('num_beams', [1, 3])
@pytest.mark.parametrize('cross', [None, CROSS, {**CROSS, 'fusion': 'parameters'}])
def test_a_batch_answers_as_each_question_alone(cross, num_beams):
    model, pictures = build(cross, num_beams=num_beams), images(4)
    together = model(pictures, samples(QUESTIONS), mode='predict')
    for i, question in enumerate(QUESTIONS):
        (alone,) = model(pictures[i : i + 1], samples([question]), mode='predict')
        assert alone.pred_answer == together[i].pred_answer
    answers = ['red', 'yes', 'blue', 'no']
    logits = model(pictures, samples(QUESTIONS, answers))
    for i in range(4):
        alone = model(pictures[i : i + 1], samples(QUESTIONS[i : i + 1], answers[i : i + 1]))
        torch.testing.assert_close(logits[i, -alone.shape[1] :], alone[0], atol=1e-5, rtol=1e-4)


def test_loss_is_on_the_answers_tokens_and_their_end():
    model = build()
    turns = [[QUESTIONS[0], 'red'], [QUESTIONS[1], 'very long']]
    sequences = model.sequences(images(2), turns)
    mask, labels = sequences.mask, sequences.labels
    ids = model.prompt_template.tokenizer.convert_tokens_to_ids
    assert labels[0][labels[0] != IGNORED].tolist() == ids(['red', '</s>'])
    assert labels[1][labels[1] != IGNORED].tolist() == ids(['very', 'long', '</s>'])
    # 4 patches, the prompt's 4 words, the question and the answer.
    assert mask.sum(1).tolist() == [4 + 4 + 5 + 2, 4 + 4 + 4 + 3]


@pytest.mark.parametrize('grid', [1, 2])
def test_image_tokens_are_means_of_the_patches_of_a_part(grid):
    pooled, whole = (build(image_grid=side).double() for side in (grid, None))
    whole.projector = pooled.projector = torch.nn.Identity()
    pictures = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)).double()
    tokens = whole.encode_image(pictures, QUESTIONS[:2])  # (B, 16, D), a grid of 4x4
    size = 4 // grid
    parts = tokens.unflatten(1, (grid, size, grid, size)).mean((2, 4)).flatten(1, 2)
    torch.testing.assert_close(pooled.encode_image(pictures, QUESTIONS[:2]), parts)


def test_a_finer_grid_than_the_patches_is_refused():
    with pytest.raises(UserError, match=r'image_grid=3.*2x2'):
        build(image_grid=3)(images(1), samples(QUESTIONS[:1], ['red']), mode='loss')


def test_learns_from_image_and_question():
    """The answer needs the color of the image and the words of the question."""
    model = build().train()
    red = torch.zeros(3, 8, 8)
    red[0] = 2.0
    pictures = torch.stack([red, red, red.flip(0), red.flip(0)])
    questions, answers = QUESTIONS[:2] * 2, ['red', 'yes', 'blue', 'no']
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        loss = model(pictures, samples(questions, answers), mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert all('cls_token' in name for name in missing)
    predicted = model.eval()(pictures, samples(questions), mode='predict')
    assert [sample.pred_answer for sample in predicted] == answers


def test_a_batch_without_an_answer_is_refused():
    with pytest.raises(UserError, match='No answer of this batch'):
        build()(images(2), samples(QUESTIONS[:2], ['', []]), mode='loss')


def test_an_answer_without_tokens_has_no_part_in_the_loss():
    model, pictures = build(), images(2)
    both = model(pictures, samples(QUESTIONS[:2], ['red', ' ']), mode='loss')['loss']
    alone = model(pictures[:1], samples(QUESTIONS[:1], ['red']), mode='loss')['loss']
    torch.testing.assert_close(both, alone)


def test_a_tokenizer_without_a_pad_token_pads_with_the_end():
    model = build(tokenizer=word_tokenizer(pad_token=None))
    answers = model(images(2), samples(QUESTIONS[:2]), mode='predict')
    assert (
        answers[0].pred_answer
        == build()(images(2), samples(QUESTIONS[:2]), mode='predict')[0].pred_answer
    )


@pytest.mark.parametrize(
    'arguments, message',
    [
        ({'prompt': 'Answer:'}, r'no \{question\}'),
        ({'tokenizer': word_tokenizer(eos_token=None)}, 'no eos_token'),
        ({'vision': {**VIM, 'out_type': 'cls_token'}}, "set out_type='featmap'"),
        (
            {'language': {**LANGUAGE, 'config': {**LANGUAGE['config'], 'vocab_size': 8}}},
            'tokenizer has 22 tokens and the language model 8',
        ),
    ],
)
def test_what_does_not_fit_is_named_when_it_is_built(arguments, message):
    with pytest.raises(UserError, match=message):
        build(**arguments)
