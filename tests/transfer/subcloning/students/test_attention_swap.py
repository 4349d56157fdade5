"""A swapped Transformer from the Transformer: all but the mixers is the teacher's, bit for bit."""

import pytest
import torch
from torch import nn

from tests.transfer.small_models import (
    swap_config,
    swapped,
    swin_config,
    trained,
    vit_config,
)
from tests.transfer.subcloning.subclone import lines_of, subclone

LAYERS = 'backbone.transformer.layers'


DISTILLED = vit_config(type='DistilledVisionTransformer')
DISTILLED['head']['type'] = 'DeiTClsHead'


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    'teacher',
    [
        vit_config(),
        vit_config(layer_scale_init_value=0.3),
        swin_config(),
        DISTILLED,
    ],
    ids=['vit', 'layer scale', 'swin', 'distilled'],
)
def test_with_no_layer_swapped_it_computes_what_the_teacher_does(teacher):
    student, teacher = trained(swapped(teacher, [])), trained(teacher)
    _, _, _, report = subclone(student, teacher)
    assert {line.status for line in report.lines} == {'cloned'}
    weights = {key for key in report.unused if not key.endswith('relative_position_index')}
    assert not weights
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(student(images, mode='tensor'), teacher(images, mode='tensor'))


def test_everything_but_the_mixers_is_the_teachers():
    teacher = trained(vit_config())
    _, after, _, report = subclone(swap_config(layers=[0]), teacher)
    theirs = teacher.state_dict()
    for key, value in after.items():
        if '.mixer.' not in key:
            assert torch.equal(value, theirs[key.replace('transformer.', '')]), key
    kept = {line.student for line in report.lines if line.status == 'initialized'}
    assert kept and all('layers.0.attn.mixer.' in key for key in kept)
    assert sorted(report.unused) == [
        f'layers.0.attn.{part}.{kind}' for part in 'kq' for kind in ('bias', 'weight')
    ]


def test_a_mixer_reads_the_values_and_writes_the_outputs():
    teacher = trained(vit_config(layer_scale_init_value=0.5))
    nn.init.normal_(teacher.backbone.layers[1].attn.gamma1.weight)
    student = trained(swap_config(layer_scale_init_value=0.5))
    _, _, weights, _ = subclone(student, teacher)
    mixer = student.backbone.swaps()[1].mixer
    hidden = torch.randn(2, 5, 24)
    value = hidden @ weights['layers.1.attn.v.weight'].T + weights['layers.1.attn.v.bias']
    torch.testing.assert_close(mixer.in_proj(hidden)[..., :24], value)
    written = value @ weights['layers.1.attn.out.weight'].T + weights['layers.1.attn.out.bias']
    torch.testing.assert_close(mixer.out_proj(value), written * weights['layers.1.scale1'])
    # The MLP keeps its layer scale, so nothing is folded into it.
    assert torch.equal(
        student.backbone.transformer.layers[1].ffn.gamma2.weight, weights['layers.1.scale2']
    )
    fc2 = student.backbone.transformer.layers[1].ffn.layers[1].weight
    assert torch.equal(fc2, weights['layers.1.mlp.fc2.weight'])


def test_a_narrower_student_takes_the_most_important_channels():
    _, after, weights, report = subclone(swap_config(16), trained(vit_config(24)))
    chosen = report.residual_channels['24 -> 16']
    norm = after[f'{LAYERS}.1.ln2.weight']
    assert torch.equal(norm, weights['layers.1.norm2.weight'][chosen])
    line = lines_of(report)[f'{LAYERS}.1.ffn.layers.0.0.weight']
    assert line.status == 'sliced'


def test_another_image_size_resizes_the_positions():
    _, after, _, report = subclone(swap_config(img_size=16), trained(vit_config()))
    assert after['backbone.transformer.pos_embed'].shape == (1, 65, 24)
    assert lines_of(report)['backbone.transformer.pos_embed'].status == 'resized'


def test_clip_vision():
    sizes = {'hidden_size': 24, 'num_hidden_layers': 2, 'num_attention_heads': 2}
    config = {**sizes, 'intermediate_size': 48, 'image_size': 8, 'patch_size': 2, 'num_channels': 1}
    backbone = {'type': 'transmamba_mm.ClipVision', 'config': config, 'out_type': 'cls_token'}
    clip = {**vit_config(24), 'backbone': backbone}
    student, teacher = trained(swapped(clip, [])), trained(clip)
    subclone(student, teacher)
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(student(images, mode='tensor'), teacher(images, mode='tensor'))
