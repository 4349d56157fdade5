"""A flat teacher for a hierarchical student."""

import pytest
import torch
from torch import nn

from tests.transfer.small_models import trained, vit_config, vmamba_config
from tests.transfer.subcloning.subclone import lines_of, subclone
from transmamba_mm.errors import UserError

BLOCK, LAYER = 'backbone.stages.{}.blocks.{}', 'layers.{}'


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def parallel(ours, theirs):
    return nn.functional.cosine_similarity(ours.flatten(), theirs.flatten(), 0) > 1 - 1e-5


def value(weights, layer):
    return weights[f'{layer}.attn.v.weight']


def test_a_stage_of_the_teachers_width_inherits_its_functions():
    """Norms, the MLP and what is read as x and written to the stream are the teacher's."""
    student, teacher = trained(vmamba_config((24, 48), mlp_ratio=2.0)), trained(vit_config(dims=24))
    _, after, weights, report = subclone(student, teacher, layer_map=[1, 0, None])
    for block, source in ((0, 1), (1, 0)):
        ours, theirs = BLOCK.format(0, block), LAYER.format(source)
        in_proj, out_proj = (
            after[f'{ours}.ss2d.{name}.weight'] for name in ('in_proj', 'out_proj')
        )
        assert torch.equal(in_proj, value(weights, theirs))
        assert torch.equal(out_proj, weights[f'{theirs}.attn.out.weight'])
        x = torch.randn(2, 5, 24)
        a, b = student.backbone.stages[0].blocks[block], teacher.backbone.layers[source]
        torch.testing.assert_close(a.norm1(x), b.ln1(x), atol=1e-4, rtol=1e-4)  # other eps
        torch.testing.assert_close(
            a.mlp(a.norm2(x)), b.ffn(b.ln2(x), identity=0), atol=1e-3, rtol=1e-3
        )
    assert 'layer map' in lines_of(report)['backbone.stages.1.blocks.0.norm1.weight'].rule


def test_layer_scale_of_the_mlp_is_folded_in():
    teacher = vit_config(dims=24, layer_scale_init_value=0.5)
    student = vmamba_config((24, 48), mlp_ratio=2.0)
    _, after, weights, _ = subclone(student, teacher)
    gamma = weights['layers.0.scale2']
    for part in ('weight', 'bias'):
        theirs = weights[f'layers.0.mlp.fc2.{part}']
        scale = gamma[:, None] if theirs.dim() == 2 else gamma
        assert torch.equal(after[f'{BLOCK.format(0, 0)}.mlp.fc2.{part}'], theirs * scale)


def test_stages_choose_alike():
    """Stages of 8, 16, 24 and 48 channels: what a narrow one has of the teacher, a wide one has."""
    student = vmamba_config((8, 16, 24, 48), (1, 1, 1, 1), patch=1)
    before, after, weights, report = subclone(student, vit_config(dims=24, layers=1))
    chosen = report.residual_channels
    assert list(chosen) == ['24 -> 8', '24 -> 16', '24 -> 24', '24 -> 48']
    assert set(chosen['24 -> 8']) < set(chosen['24 -> 16']) < set(chosen['24 -> 24'])
    assert chosen['24 -> 24'] == chosen['24 -> 48'] == list(range(24))
    norm = weights['layers.0.norm1.weight']
    for stage, sources in enumerate(chosen.values()):
        key = f'{BLOCK.format(stage, 0)}.norm1.weight'
        assert torch.equal(after[key][: len(sources)], norm[sources])
        assert torch.equal(after[key][len(sources) :], before[key][len(sources) :])
        fc2 = after[f'{BLOCK.format(stage, 0)}.mlp.fc2.bias'][: len(sources)]
        assert torch.equal(fc2, weights['layers.0.mlp.fc2.bias'][sources])
    statuses = [lines_of(report)[f'{BLOCK.format(i, 0)}.norm1.weight'].status for i in range(4)]
    assert statuses == ['sliced', 'sliced', 'cloned', 'padded']
    assert torch.equal(after['backbone.norm.bias'][:24], weights['norm.bias'])
    assert torch.equal(after['head.fc.weight'][:, :24], weights['head.weight'])


def test_hidden_channels_are_the_same_in_both_layers_of_the_mlp():
    teacher = trained(vit_config(dims=24))
    planted = list(range(0, 48, 3))
    ffn = teacher.backbone.layers[0].ffn.layers
    with torch.no_grad():
        ffn[0][0].weight[planted] *= 9
        ffn[0][0].bias[planted] *= 9
        ffn[1].weight[:, planted] *= 9
    student = vmamba_config((8, 16), mlp_ratio=2.0)
    _, after, weights, report = subclone(student, teacher, layer_map=[0, 1, 1])
    kept, mlp = report.residual_channels['24 -> 8'], f'{BLOCK.format(0, 0)}.mlp'
    theirs = 'layers.0.mlp'
    assert torch.equal(after[f'{mlp}.fc1.bias'], weights[f'{theirs}.fc1.bias'][planted])
    assert parallel(after[f'{mlp}.fc1.weight'], weights[f'{theirs}.fc1.weight'][planted][:, kept])
    assert parallel(after[f'{mlp}.fc2.weight'], weights[f'{theirs}.fc2.weight'][kept][:, planted])


def test_a_sliced_mlp_keeps_its_variance():
    teacher = trained(vit_config(dims=128, layers=1))
    ffn = teacher.backbone.layers[0].ffn.layers
    with torch.no_grad():
        for linear in (ffn[0][0], ffn[1]):
            nn.init.normal_(linear.weight, std=0.1)
            nn.init.normal_(linear.bias, std=0.1)
        ffn[0][0].weight.mul_(torch.rand(256, 1) * 3)  # some channels are louder than others
    student = trained(vmamba_config((32, 64), mlp_ratio=2.0))
    *_, report = subclone(student, teacher)
    stream = torch.randn(4000, 128)
    theirs = ffn[1](ffn[0](stream)).var(0).mean()
    ours = (
        student.backbone.stages[0].blocks[0].mlp(stream[:, report.residual_channels['128 -> 32']])
    )
    assert (ours.var(0).mean() / theirs).item() == pytest.approx(1, abs=0.2)


def test_a_wider_mlp_is_padded():
    """Copies in an MLP would stay copies: the channels that have no source start by themselves."""
    before, after, weights, report = subclone(vmamba_config((24, 48)), vit_config(dims=24))
    mlp, theirs = f'{BLOCK.format(0, 0)}.mlp', 'layers.0.mlp'
    fc1, fc2 = f'{mlp}.fc1.weight', f'{mlp}.fc2.weight'
    assert torch.equal(after[fc1][:48], weights[f'{theirs}.fc1.weight'])
    assert torch.equal(after[fc2][:, :48], weights[f'{theirs}.fc2.weight'])
    assert torch.equal(after[fc1][48:], before[fc1][48:])
    assert torch.equal(after[fc2][:, 48:], before[fc2][:, 48:])
    assert lines_of(report)[fc1].status == 'padded'


def test_gate_and_missing_mlp_of_the_original():
    student = vmamba_config((24, 48), gate=True, conv_bias=True, mlp_ratio=0.0, ssm_ratio=2.0)
    before, after, weights, report = subclone(student, vit_config(dims=24))
    ours, lines = f'{BLOCK.format(0, 0)}.ss2d', lines_of(report)
    x, z = after[f'{ours}.in_proj.weight'].chunk(2)
    layer = LAYER.format(0)
    composition = after[f'{ours}.out_proj.weight'] @ x
    expected = weights[f'{layer}.attn.out.weight'] @ value(weights, layer)
    torch.testing.assert_close(composition, expected)
    assert torch.equal(z, before[f'{ours}.in_proj.weight'].chunk(2)[1])
    assert 'to the first 48 of 96 rows' in lines[f'{ours}.in_proj.weight'].slice
    assert not any('mlp' in key for key in lines)


@pytest.mark.parametrize('stem', ['patches', 'conv_stem'])
def test_tensors_without_a_rule_give_a_reason(stem):
    student = vmamba_config(patch=4, patch_embed=stem)
    before, after, _, report = subclone(student, vit_config())
    lines = lines_of(report)
    for key, reason in {
        'ss2d.x_proj': 'not from the stream',
        'ss2d.A_log': "Mamba's initialization",
        'ss2d.conv.weight': "Mamba's initialization",
        'ss2d.norm.weight': 'no norm between values and output',
    }.items():
        line = lines[f'{BLOCK.format(1, 0)}.{key}']
        assert line.status == 'initialized' and reason in line.rule
        assert torch.equal(before[line.student], after[line.student])
    assert 'halve its grid' in lines['backbone.stages.0.downsample.conv.weight'].rule
    if stem == 'patches':  # cut as the teacher cuts them, but for the size
        line = lines['backbone.patch_embed.proj.weight']
        assert line.status == 'sliced' and 'patch 2x2 to 4x4' in line.slice
        assert 'no norm on its patches' in lines['backbone.patch_embed.norm.bias'].rule
    else:
        assert 'two convolutions' in lines['backbone.patch_embed.conv2.weight'].rule
    assert not any(line.rule == 'no rule matches it' for line in report.lines)
    assert {'cls_token', 'pos_embed'} <= set(report.unused)


def test_mimic_makes_the_convolution_an_identity():
    student = trained(vmamba_config(conv_bias=True))
    *_, report = subclone(student, vit_config(), mimic_scan=True)
    conv = student.backbone.stages[0].blocks[1].ss2d.conv
    x = torch.randn(2, 16, 5, 6)
    torch.testing.assert_close(conv(x), x)
    assert lines_of(report)[f'{BLOCK.format(0, 1)}.ss2d.conv.weight'].status == 'mimic'


def test_other_classes():
    with pytest.raises(UserError, match=r'10 classes against 7'):
        subclone(vmamba_config(classes=7), vit_config())


def test_stages_need_stages():
    with pytest.raises(UserError, match=r"student's have \[2, 1\] .*teacher's \[2\]"):
        subclone(vmamba_config(), vit_config(), layer_map='stages')
