"""A LLaVA teaches a MambaVQA: towers side by side, token by token, word by word."""

import copy
import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample

from transmamba_mm.errors import UserError
from transmamba_mm.models.token_batch import IGNORED
from transmamba_mm.models.vqa.prompt_template import PromptTemplate
from transmamba_mm.registry import MODELS, TOKENIZERS
from transmamba_mm.transfer.features.features import FeatureKind
from transmamba_mm.transfer.features.token_matching import match_tokens, pick_patches

WORDS = ['what', 'color', 'is', 'it', 'red', 'blue', 'yes', 'no', '?', 'the', 'user', ':']
TOKENIZER = {'type': 'WordTokenizer', 'words': WORDS}
OTHER_WORDS = {'type': 'WordTokenizer', 'words': [*WORDS[::-1], 'more']}
QUESTIONS = ['what color is it ?', 'is it red ?', 'is the color blue ?']
ANSWERS = ['red', 'yes', 'no no']


def llava(patch_size=4, layers=2, **kwargs):
    torch.manual_seed(0)
    vision = {
        'model_type': 'clip_vision_model',
        'image_size': 16,
        'patch_size': patch_size,
        'hidden_size': 24,
        'intermediate_size': 32,
        'num_hidden_layers': layers,
        'num_attention_heads': 2,
    }
    text = {
        'model_type': 'llama',
        'vocab_size': 24,
        'hidden_size': 24,
        'intermediate_size': 32,
        'num_hidden_layers': layers,
        'num_attention_heads': 2,
        'bos_token_id': None,
        'eos_token_id': 1,
        'pad_token_id': 0,
    }
    config = {'vision_config': vision, 'text_config': text, 'vision_feature_layer': -1}
    arguments = {'tokenizer': TOKENIZER, 'prompt': '{question}', **kwargs}
    return MODELS.build({'type': 'LlavaTeacher', 'config': config, **arguments})


def mamba(**kwargs):
    return {
        'type': 'MambaVQA',
        'vision': {
            'type': 'Vim',
            'arch': {'embed_dims': 24, 'num_layers': 2, 'state_dims': 4},
            'img_size': 16,
            'patch_size': 4,
            'out_type': 'featmap',
        },
        'language': {
            'type': 'MambaLM',
            'config': {
                'vocab_size': 24,
                'hidden_size': 24,
                'num_hidden_layers': 2,
                'state_size': 4,
            },
        },
        'cross_mamba': {'type': 'CrossMamba', 'state_dims': 4},
        'tokenizer': TOKENIZER,
        'prompt': '{question}',
        **kwargs,
    }


SUBCLONING = {
    'vision': {'type': 'WeightSubcloning'},
    'language': {'type': 'WeightSubcloning'},
}


def build(student=None, teacher=None, distiller=None, **kwargs):
    torch.manual_seed(1)
    model = MODELS.build(
        {
            'type': 'KnowledgeTransfer',
            'student': student or mamba(),
            'teacher': {'model': teacher or llava()},
            'distiller': distiller or {'type': 'WSAB'},
            **kwargs,
        }
    )
    model.init_weights()
    return model


def batch(questions=QUESTIONS, answers=ANSWERS):
    samples = []
    for question, answer in zip(questions, answers, strict=True):
        samples.append(DataSample())
        samples[-1].set_field(question, 'question')
        samples[-1].set_field(answer, 'gt_answer')
    images = torch.randn(len(samples), 3, 16, 16, generator=torch.Generator().manual_seed(2))
    return {'inputs': images, 'data_samples': samples}


def train(model, steps=6):
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=3e-3))
    return [model.train_step(batch(), optimizer) for _ in range(steps)]


@pytest.mark.parametrize('distiller', ['WSAB', 'LogitsDistiller'])
def test_every_loss_falls_and_the_teacher_stays(distiller):
    teacher = llava()
    train(teacher.train(), steps=20)
    model = build(teacher=teacher, distiller={'type': distiller}, subcloning=SUBCLONING)
    before = copy.deepcopy(model.teacher.model.state_dict())
    logs = train(model.train())
    for key in (key for key in logs[0] if 'loss' in key):
        assert logs[-1][key] < logs[0][key], key
    after = model.teacher.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not any('teacher' in key for key in model.state_dict())


def test_layers_of_both_towers_and_both_vision_directions_are_compared():
    log = train(build(), steps=1)[0]
    assert {f'layer{i:02d}_cos' for i in range(4)} < set(log)
    assert len(build().distiller.direction_projectors[0]) == 4  # two of each tower
    assert len(build().distiller.direction_projectors[1]) == 2  # language is read one way


def test_a_tower_that_layer_map_leaves_out_is_not_compared():
    model = build(layer_map={'language': 'last'})
    assert [tower.name for tower in model.match.towers] == ['language']
    assert 'layer02_cos' not in train(model, steps=1)[0]
    with pytest.raises(UserError, match='hearing'):
        build(layer_map={'hearing': 'last'})


def test_subcloning_takes_both_towers():
    model = build(subcloning=SUBCLONING)
    teacher = model.teacher.model.model
    student = model.student
    assert torch.equal(
        student.language.backbone.embeddings.weight,
        teacher.model.language_model.embed_tokens.weight,
    )
    assert torch.equal(
        student.vision.blocks[1].norm.weight,
        teacher.model.vision_tower.state_dict()[
            next(k for k in teacher.model.vision_tower.state_dict() if '1.layer_norm1.weight' in k)
        ],
    )
    values = teacher.model.language_model.layers[1].self_attn.v_proj.weight
    x_half = student.language.backbone.layers[1].mixer.in_proj.weight[:48]
    assert torch.equal(x_half[:24], values) and torch.equal(x_half[24:], values)
    lines = {line.student: line for line in model.transfer_report.lines}
    names = {name for name, _ in student.named_parameters()}
    assert set(lines) <= names
    assert lines['language.backbone.embeddings.weight'].teacher == 'language.token_embed.weight'


def test_query_and_key_go_to_a_student_that_reads_b_and_c_from_the_hidden_state():
    student = mamba()
    student['language']['config']['bc_from'] = 'hidden'
    rules = {'language': {'type': 'WeightSubcloning'}}
    model = build(student, subcloning=rules)
    rows = model.transfer_report.state_rows['language.layers.1']
    attention = model.teacher.model.model.model.language_model.layers[1].self_attn
    mixer = model.student.language.backbone.layers[1].mixer
    assert torch.equal(mixer.C_proj.weight, attention.q_proj.weight[rows])
    assert torch.equal(mixer.B_proj.weight, attention.k_proj.weight[rows])
    logs = train(model.train())
    assert logs[-1]['loss'] < logs[0]['loss']
    assert not torch.equal(mixer.C_proj.weight, attention.q_proj.weight[rows])


def test_patches_of_another_grid_are_brought_to_the_students():
    log = train(build(teacher=llava(patch_size=8)), steps=1)[0]
    assert torch.isfinite(log['loss'])


def test_other_vocabularies_switch_the_logits_off_with_a_log(caplog):
    with caplog.at_level(logging.INFO):
        model = build(teacher=llava(tokenizer=OTHER_WORDS))
    assert FeatureKind.LOGITS not in model.distiller.student_kinds
    assert 'logits_loss' not in train(model, steps=1)[0]
    with pytest.raises(UserError, match='different vocabularies'):
        build(teacher=llava(tokenizer=OTHER_WORDS), distiller={'type': 'LogitsDistiller'})


def test_equal_models_agree_on_every_token_and_logit():
    """A teacher that reads with another prompt still meets the student at the same words."""
    teacher, other = llava(), llava(prompt='user : {question} user :')
    turns = [[q, a] for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    images = batch()['inputs']
    ours, theirs = teacher.sequences(images, turns), other.sequences(images, turns)
    match = match_tokens(ours, theirs)
    same = (
        ours.embeddings[match.rows, match.student] == theirs.embeddings[match.rows, match.teacher]
    )
    # The last token before the answer is the prompt's ':' in one of them.
    assert same.all(-1).sum() == len(match.rows) - len(turns)
    # Every word of question and answer, about to answer, and the answer's end; without words around
    # it the question's last word is also where the answer begins.
    assert len(match.rows) == sum(len(q.split()) + len(a.split()) + 2 for q, a in turns)
    torch.testing.assert_close(
        pick_patches(ours.embeddings, ours.image), pick_patches(theirs.embeddings, theirs.image)
    )
    logits = teacher(images, batch()['data_samples'])
    answers = ours.pick_answers(logits)
    assert len(answers) == ours.labels.ne(IGNORED).sum()


def test_behind_the_image_an_answer_is_awaited_at_the_last_patch():
    first, last = llava(), llava(prompt='{question} {image}')
    turns = [[QUESTIONS[0], 'red']]
    for model, place in ((first, 16 + 5 - 1), (last, 5 + 16 - 1)):
        sequences = model.sequences(batch()['inputs'][:1], turns)
        assert sequences.char_offsets[0][1, 0] == place
        assert sequences.labels[0, place + 1] != IGNORED == sequences.labels[0, place]
    assert sequences.image[0].tolist() == list(range(5, 21))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=8),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
)
def test_char_offsets_give_the_position_in_a_turn(question, answer):
    prompt_template = PromptTemplate(TOKENIZERS.build(TOKENIZER), 'user : {question} user :')
    prompt = prompt_template([' '.join(question), ' '.join(answer)])
    ids = prompt_template.tokenizer.convert_tokens_to_ids
    for number, words in enumerate((question, answer)):
        for count in range(1, len(words) + 1):
            read = len(' '.join(words[:count]))
            assert prompt.tokens[prompt.char_offsets[number, read]] == ids(words[count - 1])
    assert prompt.tokens[prompt.char_offsets[1, 0]] == ids(':')
    assert prompt.labels[-len(answer) - 1 :] == [
        *ids(answer),
        prompt_template.tokenizer.eos_token_id,
    ]
