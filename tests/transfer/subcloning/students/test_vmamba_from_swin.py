"""A hierarchical teacher for a hierarchical student."""

import pytest
import torch

from tests.transfer.small_models import swin_config, trained, vmamba_config
from tests.transfer.subcloning.subclone import lines_of, subclone
from transmamba_mm.errors import UserError

OPTIONS = {'layer_map': 'stages'}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_equal_widths_inherit_whole_tensors():
    student = trained(vmamba_config((24, 48), (2, 4)))
    teacher = trained(swin_config((24, 48), (2, 2)))
    _, after, weights, report = subclone(student, teacher, **OPTIONS)
    assert {line.status for line in report.lines} == {'cloned', 'initialized'}
    for ours, theirs in {
        'stages.0.blocks.1': 'layers.1',
        'stages.1.blocks.1': 'layers.2',
        'stages.1.blocks.3': 'layers.3',
    }.items():
        a, b = f'backbone.{ours}', theirs
        for key, source in {
            'norm1.bias': 'norm1.bias',
            'ss2d.out_proj.weight': 'attn.out.weight',
            'norm2.weight': 'norm2.weight',
            'mlp.fc1.weight': 'mlp.fc1.weight',
            'mlp.fc2.bias': 'mlp.fc2.bias',
        }.items():
            assert torch.equal(after[f'{a}.{key}'], weights[f'{b}.{source}'])
        values = weights[f'{b}.attn.v.weight']
        assert torch.equal(after[f'{a}.ss2d.in_proj.weight'], values)
    assert torch.equal(after['backbone.norm.weight'], weights['norm.weight'])
    assert torch.equal(after['head.fc.weight'], weights['head.weight'])
    images = torch.randn(2, 1, 8, 8)
    patches, _ = teacher.backbone.patch_embed(images)
    torch.testing.assert_close(student.backbone.patch_embed(images).flatten(1, 2), patches)


def test_every_stream_of_the_teacher_is_ranked_by_itself():
    teacher = trained(swin_config((24, 48)))
    planted = {0: list(range(0, 24, 3)), 1: list(range(1, 48, 3))}
    with torch.no_grad():
        for stage, channels in planted.items():
            for block in teacher.backbone.stages[stage].blocks:
                block.attn.w_msa.qkv.weight[:, channels] *= 9
                block.attn.w_msa.proj.weight[channels] *= 9
                block.ffn.layers[0][0].weight[:, channels] *= 9
                block.ffn.layers[1].weight[channels] *= 9
    *_, report = subclone(vmamba_config((8, 16)), teacher, **OPTIONS)
    assert report.residual_channels == {'24 -> 8': planted[0], '48 -> 16': planted[1]}


def test_last_norm_counts_among_several():
    teacher = swin_config((24, 48), out_indices=(0, 1))
    _, after, weights, _ = subclone(vmamba_config((24, 48)), teacher, **OPTIONS)
    assert torch.equal(after['backbone.norm.weight'], weights['norm.weight'])


def test_a_layer_of_another_stage_fits_too():
    """A list may cross stages; widths are the tensor's own."""
    layer_map = [0, 3, None]
    *_, report = subclone(vmamba_config(), swin_config(), layer_map=layer_map)
    line = lines_of(report)['backbone.stages.0.blocks.1.norm1.weight']
    assert line.teacher == 'layers.3.norm1.weight'
    assert line.slice == '16 of 48 residual channels'


def test_swin_v2_is_refused():
    teacher = swin_config()
    teacher['backbone'] = {
        **teacher['backbone'],
        'type': 'SwinTransformerV2',
        'arch': {**teacher['backbone']['arch'], 'extra_norm_every_n_blocks': 0},
    }
    with pytest.raises(UserError, match='Swin V2'):
        subclone(vmamba_config(), teacher, **OPTIONS)
