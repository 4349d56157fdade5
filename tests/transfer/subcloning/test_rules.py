"""Tables are about every parameter of real models, and rank every tensor that reads a stream."""

import pytest

from tests.transfer.small_models import (
    plainmamba_config,
    swin_config,
    trained,
    videomamba_config,
    vim_config,
    vit_config,
    vmamba_config,
)
from transmamba_mm.transfer.subcloning import (
    TABLES,
    Clone,
    TeacherWeights,
    students,  # noqa: F401  (they register themselves)
)
from transmamba_mm.transfer.subcloning.names import match
from transmamba_mm.transfer.subcloning.rules import STREAM
from transmamba_mm.transfer.subcloning.sides import StudentWeights

READS_NO_STREAM = (
    *('q.bias', 'k.bias', 'v.bias', 'fc1.bias', 'head.bias', 'norm1.bias', 'norm2.bias'),
    *('norm.bias', 'relative_position_bias_table', 'relative_position_index'),
    'downsample.norm.weight',
)


@pytest.mark.parametrize(
    'student, teacher',
    [
        (vim_config(backbone={'norm': 'layer'}), vit_config()),
        (videomamba_config(), vit_config()),
        (plainmamba_config(), vit_config()),
        (vmamba_config(), vit_config()),
        (vmamba_config(gate=True, conv_bias=True, mlp_ratio=0), vit_config()),
        (vmamba_config(patch=4, patch_embed='conv_stem'), vit_config()),
        (vmamba_config(patch=4, patch_embed='conv_stem'), swin_config()),
        (vmamba_config(), swin_config()),
    ],
    ids=lambda config: config['backbone']['type'].rpartition('.')[2],
)
def test_a_table_is_about_every_parameter_of_real_models(student, teacher):
    ours = StudentWeights.of(trained(student), 'backbone')
    theirs = TeacherWeights.of(trained(teacher), 'backbone')
    table = TABLES[type(ours.layout)]
    for part in (None, *table.parts):
        rules = [rule for rule in table.rules if rule.part in (None, part)]
        for key, parameter in ours.parameters.items():
            rule = next(r for r in rules if match(r.student, key, table.layer) is not None)
            if isinstance(rule, Clone):
                assert len(rule.axes) == parameter.dim()
                assert rule.otherwise or rule.teacher.replace('#', '0') in theirs.tensors
            else:
                assert rule.reason
    ranked = set()
    for names, axes in STREAM.items():
        for layer in range(sum(theirs.stages)):
            for key in (name.replace('#', str(layer)) for name in names):
                if key in theirs.tensors:
                    assert len(axes) == theirs.tensors[key].dim()
                    ranked.add(key)
    assert all(key.endswith(READS_NO_STREAM) for key in theirs.tensors.keys() - ranked)
