import pytest
import torch

from tests.transfer.small_models import trained, vim_config, vit_config
from transmamba_mm.errors import UserError
from transmamba_mm.transfer.rules import Clone, Keep, load_rules, match, part_of


@pytest.mark.parametrize(
    'pattern, key, layer',
    [
        ('a.{layer}.b', 'a.12.b', 12),
        ('a.{layer}.b', 'a.x.b', None),
        ('a.{layer}.b', 'a.1.b.c', None),
        ('a.{layer}.*.b', 'a.3.fwd.b', 3),
        ('a.{layer}.*.b', 'a.3.fwd.x.b', None),
        ('a.b', 'a.b', -1),
        ('a.b', 'axb', None),
    ],
)
def test_match(pattern, key, layer):
    assert match(pattern, key) == layer


def test_part_of_is_a_view_of_stacked_rows():
    tensor = torch.arange(12).view(6, 2)
    part = part_of(tensor, (2, 3))
    assert part.tolist() == [[8, 9], [10, 11]]
    part.zero_()
    assert tensor[4:].sum() == 0 and tensor[:4].sum() > 0


def test_unknown_rules_list_those_there_are():
    with pytest.raises(UserError, match=r"'vit_to_vmamba' is unknown.*vit_to_vim"):
        load_rules('vit_to_vmamba')


def test_vit_to_vim_is_about_every_parameter_of_real_models():
    table = load_rules('vit_to_vim')
    student = trained(vim_config(backbone={'norm': 'layer'}))
    teacher = trained(vit_config())
    teacher_keys = teacher.state_dict()
    for key, parameter in student.named_parameters():
        rule = next(rule for rule in table.rules if match(rule.student, key) is not None)
        if isinstance(rule, Clone):
            assert len(rule.axes) == parameter.dim()
            assert rule.find_teacher(teacher_keys, 0) is not None
        else:
            assert isinstance(rule, Keep) and rule.reason
    for pattern, axes in table.stream.items():
        for key in teacher_keys:
            if match(pattern, key) is not None:
                assert len(axes) == teacher_keys[key].dim()
    unranked = [
        key for key in teacher_keys if not any(match(p, key) is not None for p in table.stream)
    ]
    reads_no_stream = ('qkv.bias', 'ffn.layers.0.0.bias', 'head.bias', 'ln1.bias', 'ln2.bias')
    assert all(key.endswith(reads_no_stream) for key in unranked)
