"""Llama to our language Mamba: where query and key go."""

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from tests.models.hf.small_lm import SIZES
from transmamba_mm.errors import UserError
from transmamba_mm.models.hf import MambaLM
from transmamba_mm.models.layouts import layout_of
from transmamba_mm.transfer.subcloning import TeacherWeights, WeightSubcloning

C = 'backbone.backbone.layers.1.mixer.C_proj.weight'


def llama(width=24, key_value_heads=3):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=SIZES['vocab_size'],
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=3,
        num_key_value_heads=key_value_heads,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for layer in model.model.layers:  # rows that differ in size, differently in each
            for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj):
                projection.weight.mul_(torch.rand(len(projection.weight), 1) * 3)
    tensors = layout_of(model.model).canonical_weights(model.model.state_dict())
    tensors['lm_head.weight'] = model.lm_head.weight.detach()
    return model, TeacherWeights(tensors, [3])


def clone(teacher, bc_from='hidden', skip=(), **kwargs):
    student = nn.ModuleDict({'backbone': MambaLM({**SIZES, 'bc_from': bc_from})})
    report = WeightSubcloning(skip=skip, **kwargs).apply(student, teacher)
    return student.backbone, report


def test_query_and_key_keep_the_same_rows_and_their_score():
    model, weights = llama()
    student, report = clone(weights)
    hidden = torch.randn(2, 7, 24)
    for number, layer in enumerate(model.model.layers):
        query, key = layer.self_attn.q_proj.weight, layer.self_attn.k_proj.weight
        sizes = [rows.abs().mean(1) / rows.abs().mean() for rows in (query, key)]
        rows = sum(sizes).topk(SIZES['state_size']).indices.sort().values
        assert report.state_rows[f'layers.{number}'] == rows.tolist()
        mixer = student.backbone.layers[number].mixer
        assert torch.equal(mixer.C_proj.weight, query[rows])
        assert torch.equal(mixer.B_proj.weight, key[rows])
        _, b, c = mixer._select(hidden, torch.zeros(2, 7, mixer.intermediate_size))
        scores = (hidden @ query[rows].T) @ (hidden @ key[rows].T).transpose(1, 2)
        torch.testing.assert_close(c @ b.transpose(1, 2), scores / SIZES['state_size'] ** 0.5)
    lines = {line.student: line for line in report.lines}
    assert lines[C].teacher == 'layers.1.attn.q.weight'
    assert (lines[C].status, lines[C].rule) == ('sliced', 'query -> C')
    assert '5 of 24 rows of query and key' in lines[C].slice
    assert 'attn.k' in lines[C.replace('C_proj', 'B_proj')].teacher
    assert lines[C.replace('C_proj', 'x_proj')].status == 'initialized'


def test_a_wider_teacher_gives_the_same_channels_to_both():
    model, weights = llama(width=48)
    student, report = clone(weights)
    channels, rows = report.residual_channels['48 -> 24'], report.state_rows['layers.2']
    attention, mixer = model.model.layers[2].self_attn, student.backbone.layers[2].mixer
    for ours, theirs in (
        (mixer.C_proj.weight, attention.q_proj.weight),
        (mixer.B_proj.weight, attention.k_proj.weight),
    ):
        kept = theirs[rows][:, channels]
        scale = theirs[rows].norm() / kept.norm()  # activations keep their variance
        torch.testing.assert_close(ours, kept * scale, check_stride=False)


def test_stability_ranks_query_and_key_too():
    _, weights = llama()
    tensors = weights.tensors
    before = {key: value + 0.5 * torch.rand_like(value) for key, value in tensors.items()}
    key = 'layers.0.attn.{}.weight'
    for name in ('q', 'k'):
        before[key.format(name)] = tensors[key.format(name)].clone()
        before[key.format(name)][5:] += 3
    _, report = clone(weights, importance='stability', pretrained=before)
    assert report.state_rows['layers.0'] == [0, 1, 2, 3, 4]


def test_the_stock_mixer_leaves_query_and_key_alone():
    _, weights = llama()
    _, report = clone(weights, 'scanned')
    lines = {line.student: line for line in report.lines}
    assert C not in lines and not report.state_rows
    assert lines[C.replace('C_proj', 'x_proj')].status == 'initialized'


def test_b_and_c_can_be_skipped():
    _, weights = llama()
    _, report = clone(weights, skip=['*.B_proj.weight', '*.C_proj.weight'])
    status = {line.student: line.status for line in report.lines}
    assert status[C] == status[C.replace('C_proj', 'B_proj')] == 'skipped'
    assert not report.state_rows


def test_heads_that_share_keys_are_refused():
    _, weights = llama(key_value_heads=1)
    with pytest.raises(UserError, match='num_key_value_heads') as error:
        clone(weights)
    assert all(f'attn.{key}.weight has ' in str(error.value) for key in 'qk')
    assert '24' in str(error.value) and '8' in str(error.value)


def test_values_that_heads_share_go_to_each_head():
    model, weights = llama(key_value_heads=1)
    student, _ = clone(weights, 'scanned')
    values = model.model.layers[0].self_attn.v_proj.weight  # (8, 24), for three heads
    x = student.backbone.layers[0].mixer.in_proj.weight[:48]  # expand=2: everything twice
    assert torch.equal(x, values.repeat(6, 1))
