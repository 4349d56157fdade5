"""Projections with biases, positions without a cls entry."""

import pytest
import torch

from tests.transfer.small_models import plainmamba_config, trained, vit_config
from tests.transfer.subcloning.subclone import lines_of, subclone

MIXER, ATTENTION = 'backbone.blocks.0.mixer', 'layers.0.attn'


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize('scale', [0.0, 0.5])
def test_value_and_output_arrive_with_their_biases(scale):
    teacher = vit_config(dims=24, layer_scale_init_value=scale)
    before, after, weights, report = subclone(plainmamba_config(dims=24), teacher)
    hidden = torch.randn(7, 24)
    values = hidden @ weights[f'{ATTENTION}.v.weight'].T
    values = values + weights[f'{ATTENTION}.v.bias']
    expected = values @ weights[f'{ATTENTION}.out.weight'].T + weights[f'{ATTENTION}.out.bias']
    if scale:
        expected = expected * weights['layers.0.scale1']
    in_proj, out_proj = f'{MIXER}.in_proj', f'{MIXER}.out_proj'
    x = hidden @ after[f'{in_proj}.weight'].chunk(2)[0].T + after[f'{in_proj}.bias'].chunk(2)[0]
    ours = x @ after[f'{out_proj}.weight'].T + after[f'{out_proj}.bias']
    torch.testing.assert_close(ours, expected)
    for key in (f'{in_proj}.weight', f'{in_proj}.bias'):  # the gate
        assert torch.equal(after[key].chunk(2)[1], before[key].chunk(2)[1])
        assert 'to the first 48 of 96 rows' in lines_of(report)[key].slice


def test_narrower_biases_take_the_same_channels():
    _, after, weights, report = subclone(plainmamba_config(dims=8), vit_config(dims=24))
    (kept,) = report.residual_channels.values()
    bias = weights[f'{ATTENTION}.out.bias'][kept]
    assert torch.equal(after[f'{MIXER}.out_proj.bias'], bias)
    values = weights[f'{ATTENTION}.v.bias']
    x = after[f'{MIXER}.in_proj.bias'].chunk(2)[0]
    assert len(x) == 16 and torch.isin(x, values).all()


def test_positions_norms_and_head():
    _, after, weights, _ = subclone(plainmamba_config(dims=24), vit_config(dims=24))
    assert torch.equal(after['backbone.pos_embed'], weights['pos_embed'][:, 1:])
    for ours, theirs in {
        'backbone.blocks.2.norm.bias': 'layers.1.norm1.bias',
        'backbone.norm.weight': 'norm.weight',
        'head.fc.weight': 'head.weight',
    }.items():
        assert torch.equal(after[ours], weights[theirs])


def test_tensors_without_a_rule_give_a_reason():
    before, after, _, report = subclone(plainmamba_config(), vit_config())
    lines = lines_of(report)
    for key, reason in {
        'patch_embed.stem.conv.weight': 'stack of convolutions',
        'patch_embed.proj.weight': 'stack of convolutions',
        'blocks.0.mixer.direction_B': 'no directions',
        'blocks.1.mixer.x_proj.weight': 'not from the stream',
        'blocks.1.mixer.A_log': "Mamba's initialization",
        'blocks.0.dw.conv.weight': 'no convolution behind',
    }.items():
        line = lines[f'backbone.{key}']
        assert line.status == 'initialized' and reason in line.rule
        assert torch.equal(before[line.student], after[line.student])
    assert not any(line.rule == 'no rule matches it' for line in report.lines)


def test_mimic_makes_the_convolution_an_identity():
    student = trained(plainmamba_config())
    *_, report = subclone(student, vit_config(), mimic_scan=True)
    x = torch.randn(2, 32, 5, 6)
    mixer = student.backbone.blocks[1].mixer
    torch.testing.assert_close(mixer.conv(x), x)
    values, gate = mixer.in_proj(torch.randn(3, 16)).chunk(2, dim=-1)
    torch.testing.assert_close(torch.nn.functional.silu(gate), torch.ones_like(gate))
    assert values.std() > 0.1
    line = lines_of(report)['backbone.blocks.1.mixer.in_proj.weight']
    assert line.num_cloned and 'its gate open' in line.slice
