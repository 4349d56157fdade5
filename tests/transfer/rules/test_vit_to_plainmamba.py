"""Projections with biases, positions without a cls entry."""

import pytest
import torch

from tests.transfer.small_models import plainmamba_config, trained, vim_config, vit_config
from tests.transfer.subclone import lines_of, subclone
from transmamba_mm.errors import UserError

RULES = 'vit_to_plainmamba'
MIXER, ATTENTION = 'backbone.blocks.0.mixer', 'backbone.layers.0.attn'


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize('scale', [0.0, 0.5])
def test_value_and_output_arrive_with_their_biases(scale):
    teacher = vit_config(dims=24, layer_scale_init_value=scale)
    before, after, weights, report = subclone(plainmamba_config(dims=24), teacher, rules=RULES)
    hidden = torch.randn(7, 24)
    values = hidden @ weights[f'{ATTENTION}.qkv.weight'].chunk(3)[2].T
    values = values + weights[f'{ATTENTION}.qkv.bias'].chunk(3)[2]
    expected = values @ weights[f'{ATTENTION}.proj.weight'].T + weights[f'{ATTENTION}.proj.bias']
    if scale:
        expected = expected * weights[f'{ATTENTION}.gamma1.weight']
    in_proj, out_proj = f'{MIXER}.in_proj', f'{MIXER}.out_proj'
    x = hidden @ after[f'{in_proj}.weight'].chunk(2)[0].T + after[f'{in_proj}.bias'].chunk(2)[0]
    ours = x @ after[f'{out_proj}.weight'].T + after[f'{out_proj}.bias']
    torch.testing.assert_close(ours, expected)
    for key in (f'{in_proj}.weight', f'{in_proj}.bias'):  # the gate
        assert torch.equal(after[key].chunk(2)[1], before[key].chunk(2)[1])
        assert 'to the first 48 of 96 rows' in lines_of(report)[key].slice


def test_narrower_biases_take_the_same_channels():
    _, after, weights, report = subclone(
        plainmamba_config(dims=8), vit_config(dims=24), rules=RULES
    )
    (kept,) = report.residual_channels.values()
    bias = weights[f'{ATTENTION}.proj.bias'][kept]
    assert torch.equal(after[f'{MIXER}.out_proj.bias'], bias)
    values = weights[f'{ATTENTION}.qkv.bias'].chunk(3)[2]
    x = after[f'{MIXER}.in_proj.bias'].chunk(2)[0]
    assert len(x) == 16 and torch.isin(x, values).all()


def test_positions_norms_and_head():
    _, after, weights, _ = subclone(plainmamba_config(dims=24), vit_config(dims=24), rules=RULES)
    assert torch.equal(after['backbone.pos_embed'], weights['backbone.pos_embed'][:, 1:])
    for ours, theirs in {
        'backbone.blocks.2.norm.bias': 'backbone.layers.1.ln1.bias',
        'backbone.norm.weight': 'backbone.ln1.weight',
        'head.fc.weight': 'head.layers.head.weight',
    }.items():
        assert torch.equal(after[ours], weights[theirs])


def test_what_cannot_be_cloned_says_why():
    before, after, _, report = subclone(plainmamba_config(), vit_config(), rules=RULES)
    lines = lines_of(report)
    for key, reason in {
        'patch_embed.stem.conv.weight': 'stack of convolutions',
        'patch_embed.proj.weight': 'stack of convolutions',
        'blocks.0.mixer.direction_B': 'knows no directions',
        'blocks.1.mixer.x_proj.weight': 'not from the stream',
        'blocks.1.mixer.A_log': "Mamba's initialization",
        'blocks.0.dw.conv.weight': 'no convolution behind',
    }.items():
        line = lines[f'backbone.{key}']
        assert line.status == 'initialized' and reason in line.rule
        assert torch.equal(before[line.student], after[line.student])
    assert not any(line.rule == 'no rule is about it' for line in report.lines)


def test_mimic_makes_the_convolution_an_identity():
    student = trained(plainmamba_config())
    subclone(student, vit_config(), rules=RULES, mimic_scan=True)
    x = torch.randn(2, 32, 5, 6)
    torch.testing.assert_close(student.backbone.blocks[1].mixer.conv(x), x)


@pytest.mark.parametrize(
    'rules, student',
    [(RULES, vim_config()), ('vit_to_vim', plainmamba_config())],
    ids=['vim', 'plainmamba'],
)
def test_rules_about_another_student(rules, student):
    with pytest.raises(UserError, match=r'rule .*of the teacher to backbone'):
        subclone(student, vit_config(), rules=rules)
