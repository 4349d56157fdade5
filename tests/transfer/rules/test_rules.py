import pytest
import torch

from tests.transfer.small_models import (
    plainmamba_config,
    swin_config,
    trained,
    videomamba_config,
    vim_config,
    vit_config,
    vmamba_config,
)
from transmamba_mm.errors import UserError
from transmamba_mm.transfer.layer_names import find_layers, match
from transmamba_mm.transfer.rules import Clone, Keep, load_rules, part_of


def test_part_of_is_a_view_of_stacked_rows():
    tensor = torch.arange(12).view(6, 2)
    part = part_of(tensor, (2, 3))
    assert part.tolist() == [[8, 9], [10, 11]]
    part.zero_()
    assert tensor[4:].sum() == 0 and tensor[:4].sum() > 0


def test_unknown_rules_list_those_there_are():
    with pytest.raises(UserError, match=r"'vit_to_resnet' is unknown.*vit_to_vim, vit_to_vmamba"):
        load_rules('vit_to_resnet')


def swin(**kwargs):
    return swin_config(dims=(24, 48), depths=(2, 2), **kwargs)


@pytest.mark.parametrize(
    'rules, student, teacher',
    [
        ('vit_to_vim', vim_config(backbone={'norm': 'layer'}), vit_config()),
        ('vit_to_videomamba', videomamba_config(), vit_config()),
        ('vit_to_plainmamba', plainmamba_config(), vit_config()),
        ('vit_to_vmamba', vmamba_config(), vit_config()),
        ('vit_to_vmamba', vmamba_config(gate=True, conv_bias=True, mlp_ratio=0), vit_config()),
        ('vit_to_vmamba', vmamba_config(patch=4, patch_embed='conv_stem'), vit_config()),
        ('swin_to_vmamba', vmamba_config(patch=4, patch_embed='conv_stem'), swin()),
        ('swin_to_vmamba', vmamba_config(), swin()),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_a_table_is_about_every_parameter_of_real_models(rules, student, teacher):
    table = load_rules(rules)
    student, teacher = trained(student), trained(teacher).state_dict()
    (layer, *_) = find_layers(table.teacher_layer, teacher)
    for key, parameter in student.named_parameters():
        form = table.student_layer
        rule = next(r for r in table.rules if match(r.student, key, form) is not None)
        if isinstance(rule, Clone):
            assert len(rule.axes) == parameter.dim()
            assert rule.find_teacher(teacher, layer) is not None
        else:
            assert isinstance(rule, Keep) and rule.reason
    ranked = set()
    for pattern, axes in table.stream.items():
        for key, tensor in teacher.items():
            if match(pattern, key, table.teacher_layer) is not None:
                assert len(axes) == tensor.dim()
                ranked.add(key)
    reads_no_stream = (
        *('qkv.bias', 'ffn.layers.0.0.bias', 'head.bias', 'fc.bias', 'ln1.bias', 'ln2.bias'),
        *('norm.bias', 'norm0.bias', 'norm1.bias', 'norm2.bias'),
        *('relative_position_bias_table', 'relative_position_index', 'downsample.norm.weight'),
    )
    assert all(key.endswith(reads_no_stream) for key in teacher.keys() - ranked)
