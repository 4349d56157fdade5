"""Mixers of text learn the output of the attention they stand for, of real tokens alone."""

import pytest
import torch

from tests.models.retrieval import small_retrieval as retrieval
from tests.transfer import test_vqa_transfer as vqa
from transmamba_mm.registry import MODELS

STAGES = [
    {
        'share': 0.25,
        'trains': 'mixers',
        'distiller': {'type': 'MixerAlignment'},
    },
    {'share': 0.75},
]
#: Of hybrids, which have layers without scans.
NO_SCANS = {'type': 'WSAB', 'direction_weight': 0}
TEXTS = ['a seven moves left', 'the digit one moves', 'a two', 'seven']


def swap_of_images(config):
    vision = {'type': 'ClipVision', 'config': config, 'out_type': 'featmap'}
    return {'type': 'AttentionSwap', 'transformer': vision}


def answering(layers=None, kind='CausalAttentionSwap'):
    """A LLaVA and its swap; with ``kind='MambaLM'`` another language model of its width."""
    teacher = vqa.llava()
    config = teacher.model.config
    text = {**config.text_config.to_diff_dict(), 'model_type': 'llama'}
    student = vqa.mamba()
    if kind == 'CausalAttentionSwap':
        causal_lm = {'type': 'CausalLM', 'config': text}
        student['language'] = {'type': kind, 'transformer': causal_lm, 'layers': layers}
    vision = config.vision_config.to_diff_dict()
    student['vision'] = swap_of_images({k: v for k, v in vision.items() if k != 'model_type'})
    return student, teacher, ('vision', 'language'), vqa.batch()


def retrieving(layers=None):
    """A CLIP over frames and its swap."""
    text = {'type': 'ClipText', 'config': retrieval.CLIP_TEXT}
    student = {
        'type': 'VideoTextRetriever',
        'vision': swap_of_images(retrieval.CLIP_VISION),
        'text': {'type': 'CausalAttentionSwap', 'transformer': text, 'layers': layers},
        'tokenizer': retrieval.word_tokenizer(),
        'embed_dims': 10,
    }
    batch = {'inputs': list(retrieval.clips()), 'data_samples': retrieval.samples(TEXTS)}
    return student, retrieval.teacher(), ('vision', 'text'), batch


MODELS_OF_TEXT = {'answering': answering, 'retrieving': retrieving}
every_task = pytest.mark.parametrize('task', MODELS_OF_TEXT.values(), ids=MODELS_OF_TEXT)


def build(student, teacher, towers, **options):
    torch.manual_seed(1)
    model = MODELS.build(
        {
            'type': 'KnowledgeTransfer',
            'student': student,
            'teacher': {'model': teacher},
            'distiller': {'type': 'WSAB'},
            'subcloning': {tower: {'type': 'WeightSubcloning'} for tower in towers},
            'stages': STAGES,
            **options,
        }
    )
    model.init_weights()
    return model.train()


def loss(model, batch):
    data = model.data_preprocessor(batch, training=True)
    return model(**data, mode='loss')


@every_task
def test_is_the_relative_error_of_each_layer_without_padding(task):
    """By hand, from hooks on the teacher's attention."""
    student, teacher, towers, batch = task()
    model = build(student, teacher, towers, layer_map={towers[1]: 'uniform'})
    tower = model.teacher.model.towers()[towers[1]]
    calls, read = {}, {}
    for index, layer in enumerate(_layers(tower.backbone)):
        layer.self_attn.register_forward_hook(
            lambda _m, _args, kwargs, out, index=index: calls.update(
                {index: (kwargs['hidden_states'], out[0])}
            ),
            with_kwargs=True,
        )
    source = model.teacher.model.get_submodule(model.teacher.model.token_batch_path)
    source.register_forward_hook(lambda _m, _args, out: read.update(mask=out.mask))
    model.enter_stage(0)
    losses = loss(model, batch)
    assert set(losses) == {'alignment_loss'}
    lengths = read['mask'].sum(1).tolist()
    assert len(set(lengths)) > 1  # or there is no padding
    errors = []
    for index, swap in enumerate(model.student.towers()[towers[1]].backbone.swaps()):
        inputs, outputs = calls[index]
        wanted = [row[-n:] for row, n in zip(outputs, lengths, strict=True)]
        # Each text alone: what stands before it must not matter.
        found = [swap.mixer(row[None, -n:])[0] for row, n in zip(inputs, lengths, strict=True)]
        squares = sum((a - b).square().sum() for a, b in zip(found, wanted, strict=True))
        errors.append(squares / sum(row.square().sum() for row in wanted))
    expected = sum(errors) / len(errors)
    assert losses['alignment_loss'].item() == pytest.approx(expected.item(), rel=1e-4)


@every_task
def test_trains_the_mixers_of_both_towers_alone(task):
    student, teacher, towers, batch = task()
    model = build(student, teacher, towers)
    model.enter_stage(0)
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert all('.self_attn.mixer.' in name for name in parameters)
    assert {name.split('.')[1] for name in parameters} == set(towers)
    optimizer = torch.optim.Adam(parameters.values(), lr=1e-2)
    values = []
    for _ in range(20):
        value = loss(model, batch)['alignment_loss']
        optimizer.zero_grad()
        value.backward()
        assert all(p.grad is not None for p in parameters.values())
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.7 * values[0]
    model.enter_stage(1)
    losses = loss(model, batch)
    assert {'layer_loss', 'direction0_loss', 'task_loss'} <= set(losses)


@every_task
def test_kept_attention_is_left_out(task):
    whole, hybrid = (build(*task(layers)[:3], distiller=NO_SCANS) for layers in (None, [0]))
    hybrid.student.load_state_dict(whole.student.state_dict(), strict=False)
    values = []
    for model in (whole, hybrid):
        model.enter_stage(0)
        values.append(loss(model, task()[3])['alignment_loss'].item())
    assert 0 < values[1] != values[0] > 0


def test_a_mamba_as_wide_as_its_teacher():
    student, teacher, towers, batch = answering(kind='MambaLM')
    model = build(student, teacher, towers, layer_map={'language': 'uniform'})
    model.enter_stage(0)
    value = loss(model, batch)['alignment_loss']
    value.backward()
    grads = {name for name, p in model.named_parameters() if p.grad is not None}
    assert value > 0 and grads and all('language.backbone.layers' in name for name in grads)


@every_task
def test_with_no_layer_swapped_features_are_the_teachers(task):
    student, teacher, towers, batch = task([])
    student['vision']['layers'] = []
    model = build(student, teacher, towers, stages=None, distiller=NO_SCANS).eval()
    seen = []
    model.distiller.register_forward_pre_hook(lambda _, records: seen.append(records))
    with torch.no_grad():
        loss(model, batch)
    ours, theirs = seen[0]
    assert len(ours.layer_features) == 4
    pairs = list(zip(ours.layer_features, theirs.layer_features, strict=True))
    # The projectors behind a LLaVA's patches differ, so its language model reads other patches.
    for mine, reference in pairs if task is retrieving else pairs[:2]:
        assert torch.equal(mine.patches, reference.patches)


def _layers(backbone):
    return backbone.layers if hasattr(backbone, 'layers') else backbone.encoder.layers
