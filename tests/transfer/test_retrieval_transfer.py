"""A CLIP over frames teaches a retriever: frames beside clips, words beside words, both ways."""

import copy

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper

from tests.models.retrieval.small_retrieval import (
    CLIP,
    CLIP_TEXT,
    CLIP_TEXT_TOWER,
    MAMBA_LM,
    VIDEO_MAMBA,
    VIM,
    clip_tokenizer,
    clips,
    samples,
    start_and_end_tokenizer,
    teacher,
    word_tokenizer,
)
from tests.two_processes import on_two_processes
from transmamba_mm.errors import UserError
from transmamba_mm.models.retrieval.contrastive import l2_normalize
from transmamba_mm.registry import MODELS

TEXTS = ['a seven moves left', 'the digit one moves', 'a two', 'seven']
STUDENTS = {'VideoMamba': VIDEO_MAMBA, 'Vim': VIM}
WSAB, LOGITS = {'type': 'WSAB'}, {'type': 'LogitsDistiller'}
every_student = pytest.mark.parametrize('vision', STUDENTS)


def student(vision, **arguments):
    default = {'text': MAMBA_LM, 'embed_dims': 10, 'tokenizer': word_tokenizer()}
    tower = STUDENTS[vision] if isinstance(vision, str) else vision
    return {'type': 'VideoTextRetriever', 'vision': tower, **default, **arguments}


def subcloning(**arguments):
    return {tower: {'type': 'WeightSubcloning', **arguments} for tower in ('vision', 'text')}


def build(vision='VideoMamba', model=None, theirs=None, distiller=WSAB, **arguments):
    theirs = theirs or teacher()
    torch.manual_seed(1)
    built = MODELS.build(
        {
            'type': 'KnowledgeTransfer',
            'student': model or student(vision),
            'teacher': {'model': theirs},
            'distiller': distiller,
            **arguments,
        }
    )
    built.init_weights()
    return built


def batch(rows=slice(None)):
    return {'inputs': list(clips()[rows]), 'data_samples': samples(TEXTS[rows])}


def train(model, steps=8, rows=slice(None), lr=3e-3):
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=lr))
    return [model.train_step(batch(rows), optimizer) for _ in range(steps)]


@torch.no_grad()
def records_of(model):
    """The distiller's inputs, and the losses."""
    seen = []
    hook = model.distiller.register_forward_pre_hook(lambda _, records: seen.append(records))
    data = model.data_preprocessor(batch(), training=True)
    losses = model(**data, mode='loss')
    hook.remove()
    return *seen[0], losses


@pytest.mark.parametrize('distiller', [WSAB, LOGITS], ids=lambda d: d['type'])
@every_student
def test_every_loss_falls_and_the_teacher_stays(vision, distiller):
    theirs = teacher()
    train(theirs.train(), steps=20)
    model = build(vision, None, theirs, distiller, subcloning=subcloning())
    before = copy.deepcopy(model.teacher.model.state_dict())
    adapters = copy.deepcopy(model.distiller.state_dict())
    logs = train(model.train())
    losses = {key for key in logs[0] if 'loss' in key}
    terms = {'layer_loss', 'direction0_loss', 'direction1_loss'} if distiller is WSAB else set()
    assert losses == {'loss', 'task_loss', 'logits_loss'} | terms
    for key in losses:
        assert logs[-1][key] < logs[0][key], key
    after = model.teacher.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert bool(adapters) is (distiller is WSAB)
    changed = model.distiller.state_dict()
    assert not [key for key in adapters if torch.equal(adapters[key], changed[key])]
    assert not any('teacher' in key for key in model.state_dict())


def shapes(features):
    return [feature.patches.shape for feature in features]


@every_student
def test_frames_stand_beside_the_frames_of_the_clip(vision):
    model = build(vision).eval()
    ours, theirs, _ = records_of(model)
    for features in (ours.layer_features, ours.direction_features, theirs.layer_features):
        assert [feature.grid for feature in features[:2]] == [(4, 2, 2)] * 2
    assert shapes(ours.layer_features[:2]) == [(4, 16, 16)] * 2
    assert shapes(ours.direction_features[:2]) == [(4, 2, 16, 16)] * 2
    vision = model.teacher.model.model.vision_model
    with torch.no_grad():
        for t in range(4):
            hidden = vision(clips()[:, :, t], output_hidden_states=True).hidden_states
            for layer in range(2):
                patches = theirs.layer_features[layer].patches.unflatten(1, (4, 4))[:, t]
                torch.testing.assert_close(patches, hidden[layer + 1][:, 1:])


def test_each_direction_of_a_frame_is_what_it_is_alone():
    model = build('Vim').eval()
    vision, (ours, _, _) = model.student.vision, records_of(model)
    taps = []
    hook = vision.get_submodule(vision.direction_paths()[1]).register_forward_hook(
        lambda *called: taps.append(called[2])
    )
    with torch.no_grad():
        vision(clips()[2:3, :, 3])  # the last frame of the third clip
    hook.remove()
    alone, _ = vision.to_canonical(taps[0].flatten(0, 1), (2, 2))  # (K, L, D)
    found = ours.direction_features[1].patches[2][:, 12:]
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('cuts', ['the same words', 'a start and an end', 'bytes'])
def test_words_meet_where_both_have_read_the_same(cuts, tmp_path):
    tokenizers = {
        'the same words': word_tokenizer,
        'a start and an end': start_and_end_tokenizer,
        'bytes': lambda: clip_tokenizer(tmp_path),
    }
    text = {**CLIP_TEXT, 'vocab_size': 600, 'max_position_embeddings': 40}
    theirs = teacher(config={**CLIP, 'text_config': text}, tokenizer=tokenizers[cuts]())
    model = build(theirs=theirs).eval()
    ours, seen, losses = records_of(model)
    counts = torch.tensor([len(caption.split()) + 1 for caption in TEXTS])  # words and the end
    count = int(counts.sum())
    assert shapes(ours.layer_features[2:]) == [(1, count, 12)] * 2
    assert shapes(seen.layer_features[2:]) == [(1, count, 12)] * 2
    assert shapes(ours.direction_features[2:]) == [(1, 1, count, 12)] * 2
    with torch.no_grad():
        _, words = theirs.encode_tokens(TEXTS)
        _, mine = model.student.encode_tokens(TEXTS)
    norms = theirs.model.text_model.final_layer_norm, model.student.text.backbone.norm_f
    ends = counts.cumsum(0) - 1
    for record, norm, expected in zip((seen, ours), norms, (words, mine), strict=True):
        torch.testing.assert_close(norm(record.layer_features[3].patches[0, ends]), expected[:, -1])
    assert losses['logits_loss'].isfinite()


def test_similarities_are_compared_both_ways():
    model = build(distiller={'type': 'LogitsDistiller', 'weight': 1.0, 'temperature': 3.0}).eval()
    _, _, losses = records_of(model)
    with torch.no_grad():
        ours = model.student(clips(), samples(TEXTS)).double() / 3
        theirs = model.teacher.model(clips(), samples(TEXTS)).double() / 3
    divergences = []
    for axis in (1, 0):  # of each text over the videos, of each video over the texts
        p, q = theirs.softmax(axis), ours.softmax(axis)
        divergences.append((p * (p.log() - q.log())).sum(axis))
    expected = 9 * torch.cat(divergences).mean()
    assert expected > 1e-4
    torch.testing.assert_close(losses['logits_loss'].double(), expected, atol=1e-6, rtol=1e-4)


@every_student
def test_the_report_names_the_sources_of_patches_positions_and_projections(vision):
    finer = student(vision)
    finer['vision'] = {**finer['vision'], 'patch_size': 2}
    model = build(model=finer, subcloning=subcloning())
    lines = {line.student: line for line in model.transfer_report.lines}
    assert set(lines) <= set(dict(model.student.named_parameters()))
    expected = {
        'visual_projection.weight': ('vision.head.weight', 'cloned'),
        'text_projection.weight': ('text.head.weight', 'cloned'),
        'vision.patch_embed.proj.weight': ('vision.patch_embed.weight', 'resized'),
        'vision.pos_embed': ('vision.pos_embed', 'resized'),
        'vision.cls_token': ('vision.cls_token', 'cloned'),
        'text.backbone.embeddings.weight': ('text.token_embed.weight', 'cloned'),
    }
    found = {key: (lines[key].teacher, lines[key].status) for key in expected}
    assert found == expected
    assert 'patch 4x4 to 2x2' in lines['vision.patch_embed.proj.weight'].slice
    assert 'grid 2x2 to 4x4' in lines['vision.pos_embed'].slice
    clip = model.teacher.model.model
    assert torch.equal(model.student.visual_projection.weight, clip.visual_projection.weight)
    assert torch.equal(model.student.text_projection.weight, clip.text_projection.weight)
    assert torch.equal(
        model.student.vision.cls_token.flatten(), clip.vision_model.embeddings.class_embedding
    )


def test_a_rebuilt_clip_is_the_same_text_encoder():
    model = student('VideoMamba', text=CLIP_TEXT_TOWER)
    cloned = subcloning()
    model = build(model=model, layer_map={'vision': 'uniform'}, subcloning=cloned).eval()
    with torch.no_grad():
        ours = model.student.encode_text(TEXTS)
        torch.testing.assert_close(ours, model.teacher.model.encode_text(TEXTS))
    lines = [line for line in model.transfer_report.lines if line.student.startswith('text')]
    assert {line.status for line in lines} == {'cloned'} and len(lines) > 30
    assert not [key for key in model.transfer_report.unused if key.startswith('text.')]


@pytest.mark.parametrize('tower', ['vision', 'text'])
def test_another_common_space_is_an_error_that_names_both_keys_unless_skipped(tower):
    theirs = teacher(config={**CLIP, 'projection_dim': 12})
    cloned = subcloning()
    name, width = {'vision': ('visual', 16), 'text': ('text', 12)}[tower]
    message = (
        rf'subcloning\.{tower}: .*cannot take head.weight \(12, {width}\) of the teacher to '
        rf'{name}_projection.weight \(10, {width}\) of the student: 12 classes against 10.*'
        'embed_dims'
    )
    with pytest.raises(UserError, match=message):
        build(theirs=theirs, subcloning={tower: cloned[tower]})
    skipped = subcloning(skip=['*_projection.*'])
    model = build(theirs=theirs, subcloning=skipped)
    lines = {line.student: line for line in model.transfer_report.lines}
    assert lines['visual_projection.weight'].status == 'skipped'
    assert lines['text_projection.weight'].status == 'skipped'
    assert train(model, steps=1)[0]['logits_loss'].isfinite()  # similarities have no width


def recipe():
    """As configs/_base_/runtimes/retrieval.py: CLIP's text encoder; only vision is compared."""
    return build(
        model=student('VideoMamba', text=CLIP_TEXT_TOWER),
        layer_map={'vision': 'uniform'},
        subcloning=subcloning(),
    )


def step(rank):
    """Half of the batch, twice, without a search for unused parameters."""
    model = MMDistributedDataParallel(recipe().train(), device_ids=None)
    logs = train(model, 2, slice(2 * rank, 2 * rank + 2))
    return logs, model.module.student.state_dict()


def test_two_processes_train_as_one(tmp_path):
    first, second = on_two_processes(step, tmp_path)
    assert all(torch.equal(first[1][key], second[1][key]) for key in first[1])
    alone = train(recipe().train(), 1)[0]
    # The videos of both are compared with the texts of both; features are an average of averages.
    for log in (first[0][0], second[0][0]):
        torch.testing.assert_close(log['task_loss'], alone['task_loss'])
    for key in ('layer00_cos', 'layer01_cos', 'direction0_cos', 'direction1_cos'):
        torch.testing.assert_close((first[0][0][key] + second[0][0][key]) / 2, alone[key])
    assert first[0][1]['task_loss'] == second[0][1]['task_loss'] != first[0][0]['task_loss']


FEATURE_MAP = {**VIDEO_MAMBA, 'out_type': 'featmap'}
TEMPORAL = {'type': 'transformer', 'num_layers': 1, 'num_heads': 2, 'max_frames': 4}
FRAMES = {**WSAB, 'layer_weight': 0.0, 'direction_weight': 0.0, 'frame_weight': 3.0}
pooled = pytest.mark.parametrize('temporal', ['mean', TEMPORAL], ids=['mean', 'transformer'])


def by_frames(vision, theirs):
    chosen = FEATURE_MAP if vision == 'VideoMamba' else VIM
    return build(model=student(chosen), theirs=theirs, distiller=FRAMES)


@pooled
@every_student
def test_frames_are_compared_behind_the_teachers_temporal_model(vision, temporal):
    model = by_frames(vision, teacher(temporal=temporal)).eval()
    ours, theirs, losses = records_of(model)
    assert ours.frame_embeddings.shape == theirs.frame_embeddings.shape == (4, 4, 10)
    models = model.student, model.teacher.model
    for features, own in zip((ours, theirs), models, strict=True):
        with torch.no_grad():
            expected = own.encode_video(clips())
        torch.testing.assert_close(l2_normalize(features.frame_embeddings.mean(1)), expected)
    with torch.no_grad():
        alone = models[1].encode_frames(clips())
    assert torch.allclose(theirs.frame_embeddings, alone) is (temporal == 'mean')
    ours, theirs = ours.frame_embeddings.double(), theirs.frame_embeddings.double()
    distance = (ours - theirs).norm(dim=-1) ** 2 / theirs.norm(dim=-1) ** 2
    assert losses['frame_loss'].item() == pytest.approx(3 * distance.mean().item(), rel=1e-5)


@every_student
def test_frames_become_more_alike(vision):
    model = by_frames(vision, teacher(temporal=TEMPORAL))
    logs = train(model.train())
    assert logs[-1]['frame_loss'] < logs[0]['frame_loss']


def test_a_padding_frame_has_the_target_of_the_last_real_one():
    model = by_frames('VideoMamba', teacher(temporal=TEMPORAL)).eval()
    padded, mask = clips(), torch.tensor([[True, True, False, False]] * 4)
    padded[:, :, 2:] = padded[:, :, 1:2]
    data = {'inputs': list(padded), 'data_samples': samples(TEXTS, masks=mask)}
    seen = []
    model.distiller.register_forward_pre_hook(lambda _, records: seen.append(records[1]))
    with torch.no_grad():
        model(**model.data_preprocessor(data, training=True), mode='loss')
        short = model.teacher.model.encode_video(padded[:, :, :2])
    frames = seen[0].frame_embeddings
    torch.testing.assert_close(frames[:, 2:], frames[:, 1:2].expand(-1, 2, -1))
    torch.testing.assert_close(l2_normalize(frames[:, :2].mean(1)), short)


def test_a_tubelet_is_compared_with_the_mean_of_its_frames():
    chosen = {**FEATURE_MAP, 'tubelet_size': 2}
    theirs = teacher(temporal=TEMPORAL)
    model = build(model=student(chosen), theirs=theirs, distiller=FRAMES).eval()
    ours, theirs, losses = records_of(model)
    assert (ours.frame_embeddings.shape[1], theirs.frame_embeddings.shape[1]) == (2, 4)
    assert losses['frame_loss'].isfinite()


@pytest.mark.parametrize(
    ('arguments', 'theirs', 'word'),
    [
        ({'vision': VIDEO_MAMBA}, {}, "out_type='cls_token'.*out_type='featmap'"),
        ({'embed_dims': 6, 'vision': FEATURE_MAP}, {}, 'frame_weight=3.0.* 6 .*embed_dims=10'),
        ({'vision': VIM, 'temporal': 'mamba'}, {}, "temporal='mamba'"),
        ({'vision': FEATURE_MAP}, {'temporal': 'mamba'}, "temporal='mamba'"),
    ],
)
def test_models_whose_frames_cannot_be_compared(arguments, theirs, word):
    with pytest.raises(UserError, match=word):
        build(model=student(**arguments), theirs=teacher(**theirs), distiller=FRAMES)


def test_the_logit_scale_starts_from_the_teachers_where_the_config_has_it():
    theirs = teacher()
    theirs.model.logit_scale.data.fill_(3.5)
    model = build(theirs=theirs, subcloning={**subcloning(), 'logit_scale': True})
    assert model.student.logit_scale == 3.5
    line = next(li for li in model.transfer_report.lines if li.student == 'logit_scale')
    assert (line.status, line.teacher, line.num_cloned) == ('cloned', 'logit_scale', 1)
    for cloned in (subcloning(), {**subcloning(), 'logit_scale': False}):
        assert build(theirs=theirs, subcloning=cloned).student.logit_scale != 3.5
    with pytest.raises(UserError, match="logit_scale='yes'"):
        build(theirs=theirs, subcloning={'logit_scale': 'yes'})
    with pytest.raises(UserError, match=r"'scale'.*both have logit_scale"):
        build(theirs=theirs, subcloning={'scale': True})


def test_videos_are_learned_alone_beside_the_teachers_frozen_text_tower():
    """As configs/_base_/methods/teacher_text.py."""
    theirs = teacher()
    train(theirs.train(), steps=20)
    model = build(
        model=student('VideoMamba', text=CLIP_TEXT_TOWER),
        theirs=theirs,
        distiller={**WSAB, 'embedding_weight': 1.0},
        layer_map={'vision': 'uniform'},
        subcloning=subcloning(),
        stages=[{'share': 1.0, 'trains': ['vision.*', 'visual_projection.*', 'logit_scale']}],
    )
    model.enter_stage(0)
    before = copy.deepcopy(model.student.state_dict())
    logs = train(model.train())
    assert logs[-1]['vision_embedding_loss'] < logs[0]['vision_embedding_loss']
    after = model.student.state_dict()
    moved = {key.partition('.')[0] for key in after if not torch.equal(before[key], after[key])}
    assert moved == {'vision', 'visual_projection', 'logit_scale'}
    with torch.no_grad():
        ours, expected = (m.eval().encode_text(TEXTS) for m in (model.student, theirs))
    torch.testing.assert_close(ours, expected)
