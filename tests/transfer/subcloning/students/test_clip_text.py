"""CLIP's text Transformer to our language Mamba, and to another CLIP text Transformer."""

import pytest
import torch
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from tests.models.retrieval.small_retrieval import CLIP_TEXT
from transmamba_mm.errors import UserError
from transmamba_mm.models.hf import MambaLM
from transmamba_mm.models.layouts import layout_of
from transmamba_mm.transfer.subcloning import TeacherWeights, WeightSubcloning
from transmamba_mm.transfer.subcloning.rules import STREAM

LAYER = 'backbone.backbone.layers.{}'


def clip_text(seed=0, **sizes):
    torch.manual_seed(seed)
    model = CLIPTextModel(CLIPTextConfig(**{**CLIP_TEXT, **sizes}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def weights_of(model, width=10):
    """The tower with a projection behind it."""
    tensors = layout_of(model).canonical_weights(model.state_dict())
    tensors['head.weight'] = torch.randn(width, model.config.hidden_size)
    return TeacherWeights(tensors, [model.config.num_hidden_layers])


def mamba(width=12, words=24, **config):
    sizes = {'vocab_size': words, 'hidden_size': width, 'num_hidden_layers': 3, 'state_size': 4}
    head = nn.ModuleDict({'fc': nn.Linear(width, 10, bias=False)})
    return nn.ModuleDict({'backbone': MambaLM({**sizes, **config}), 'head': head})


def clone(student, weights, **kwargs):
    before = {key: value.clone() for key, value in student.state_dict().items()}
    report = WeightSubcloning(**kwargs).apply(student, weights)
    lines = {line.student: line for line in report.lines}
    return before, student.state_dict(), lines, report


def test_values_and_attention_output_follow_the_rule():
    teacher = clip_text()
    student = mamba()
    before, after, lines, _ = clone(student, weights_of(teacher))
    # Two layers for three: 'uniform' takes the first, the second and again the second.
    for number, source in enumerate((0, 1, 1)):
        theirs, ours = teacher.encoder.layers[source], LAYER.format(number)
        in_proj = after[f'{ours}.mixer.in_proj.weight']  # x and z, of 24 channels each
        values = theirs.self_attn.v_proj.weight
        assert torch.equal(in_proj[:24], torch.cat([values, values]))  # a wider mixer repeats
        assert torch.equal(in_proj[24:], before[f'{ours}.mixer.in_proj.weight'][24:])
        output = theirs.self_attn.out_proj.weight / 2
        assert torch.equal(after[f'{ours}.mixer.out_proj.weight'], torch.cat([output] * 2, 1))
        assert torch.equal(after[f'{ours}.norm.weight'], theirs.layer_norm1.weight)
        for kept in ('x_proj.weight', 'conv1d.weight', 'dt_proj.weight', 'A_log', 'D'):
            key = f'{ours}.mixer.{kept}'
            assert torch.equal(after[key], before[key]) and lines[key].status == 'initialized'
    line = lines[f'{LAYER.format(2)}.mixer.in_proj.weight']
    assert line.teacher == 'layers.1.attn.v.weight'
    assert (line.rule, line.status) == ('value -> x', 'tiled')
    assert 'to the first 24 of 48 rows' in line.slice


def test_words_final_norm_and_projection_arrive_whole():
    teacher, student = clip_text(), mamba()
    weights = weights_of(teacher)
    _, after, lines, report = clone(student, weights)
    for ours, theirs in (
        ('backbone.backbone.embeddings.weight', 'token_embed.weight'),
        ('backbone.backbone.norm_f.weight', 'norm.weight'),
        ('head.fc.weight', 'head.weight'),
    ):
        assert torch.equal(after[ours], weights.tensors[theirs])
        assert (lines[ours].teacher, lines[ours].status) == (theirs, 'cloned')
    assert 'pos_embed' in report.unused
    assert not [key for key in report.unused if 'attn.v.weight' in key]


def test_a_head_of_words_is_left_alone():
    student = mamba(tie_word_embeddings=False)
    before, after, lines, _ = clone(student, weights_of(clip_text()))
    key = 'backbone.lm_head.weight'
    assert lines[key].status == 'initialized' and 'unused' in lines[key].rule
    assert torch.equal(after[key], before[key])


def test_a_narrower_student_takes_the_same_channels_everywhere():
    weights = weights_of(clip_text())
    tensors = weights.tensors
    _, after, _, report = clone(mamba(width=8), weights)
    taken = report.residual_channels['12 -> 8']
    assert len(set(taken)) == 8
    words = tensors['token_embed.weight']
    assert torch.equal(after['backbone.backbone.embeddings.weight'], words[:, taken])
    norm = tensors['norm.weight']
    assert torch.equal(after['backbone.backbone.norm_f.weight'], norm[taken])
    projection = tensors['head.weight']
    kept = projection[:, taken]
    scaled = kept * (projection.norm() / kept.norm())  # what it makes keeps its variance
    torch.testing.assert_close(after['head.fc.weight'], scaled)


def test_other_words_are_an_error_that_names_both_keys_unless_skipped():
    weights = weights_of(clip_text())
    with pytest.raises(UserError) as error:
        clone(mamba(words=30), weights)
    for part in ('token_embed.weight (24, 12)', 'embeddings.weight (30, 12)', '24 entries'):
        assert part in str(error.value)
    _, _, lines, _ = clone(mamba(words=30), weights, skip=['*.embeddings.weight'])
    assert lines['backbone.backbone.embeddings.weight'].status == 'skipped'


def test_the_stream_is_all_that_reads_or_writes_it():
    """Channels are ranked by every tensor that touches them, of the shape in the table."""
    tensors = weights_of(clip_text()).tensors
    ranked = set()
    for names, axes in STREAM.items():
        keys = {name.replace('#', layer) for name in names for layer in '01'}
        for key in keys & tensors.keys():
            assert len(axes) == tensors[key].dim()
            width = next(i for i, axis in enumerate(axes) if _is_stream(axis))
            assert tensors[key].shape[width] == 12
            ranked.add(key)
    inside = ('q.bias', 'k.bias', 'v.bias', 'fc1.bias', 'norm1.bias', 'norm2.bias', 'norm.bias')
    assert all(key.endswith(inside) for key in tensors.keys() - ranked)


def _is_stream(axis):
    return axis.name.startswith('RESIDUAL')


def test_a_clip_for_a_clip_is_cloned_whole_or_not_at_all():
    theirs, ours = clip_text(), clip_text(seed=1)
    head = nn.ModuleDict({'fc': nn.Linear(12, 10, bias=False)})
    weights = weights_of(theirs)
    student = nn.ModuleDict({'backbone': ours, 'head': head})
    _, after, lines, report = clone(student, weights)
    assert after.keys() == lines.keys() and not report.unused
    wanted = {f'backbone.{key}': value for key, value in theirs.state_dict().items()}
    wanted['head.fc.weight'] = weights.tensors['head.weight']
    for key, value in after.items():
        assert torch.equal(value, wanted[key]), key
        assert lines[key].status == 'cloned'
    narrow = nn.ModuleDict({'backbone': clip_text(hidden_size=8), 'head': head})
    with pytest.raises(UserError, match=r'\(24, 12\).*\(24, 8\).*12 entries against 8'):
        clone(narrow, weights)
