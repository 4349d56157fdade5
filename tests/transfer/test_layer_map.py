from math import ceil

import pytest

from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import LayerPart
from transmamba_mm.transfer import LayerMap


def whole(pairs):
    """Student and teacher of pairs that are about whole layers."""
    assert all(pair.part is LayerPart.WHOLE for pair in pairs)
    return [(pair.student, pair.teacher) for pair in pairs]


@pytest.mark.parametrize('num_student, num_teacher', [(8, 6), (6, 6), (24, 12), (3, 7), (1, 5)])
def test_uniform_is_the_formula_and_matches_the_last_layers(num_student, num_teacher):
    pairs = whole(LayerMap().pairs(num_student, num_teacher))
    expected = [ceil((i + 1) * num_teacher / num_student) - 1 for i in range(num_student)]
    assert pairs == list(enumerate(expected))
    assert pairs[-1] == (num_student - 1, num_teacher - 1)
    if num_student == 24:
        assert expected == [i // 2 for i in range(24)]


@pytest.mark.parametrize(
    'sizes, pairs',
    [((4, 2), [(2, 0), (3, 1)]), ((2, 4), [(0, 2), (1, 3)]), ((2, 2), [(0, 0), (1, 1)])],
)
def test_last_aligns_the_ends(sizes, pairs):
    assert whole(LayerMap('last').pairs(*sizes)) == pairs


def test_first_n_maps_only_the_first():
    assert whole(LayerMap('first_n', n=2).pairs(8, 6)) == [(0, 0), (1, 1)]
    with pytest.raises(UserError, match='at most 6'):
        LayerMap('first_n', n=7).pairs(8, 6)


def test_stages_match_stages():
    pairs = whole(LayerMap('stages').pairs([2, 4], [1, 2]))
    assert pairs == [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2)]
    assert LayerMap('stages').pairs(4, 2) == LayerMap('uniform').pairs(4, 2)
    with pytest.raises(UserError, match=r"student's have \[2, 2, 8, 2\] .*teacher's \[12\]"):
        LayerMap('stages').pairs([2, 2, 8, 2], [12])


@pytest.mark.parametrize('layer_map', [LayerMap(), LayerMap('last'), LayerMap('first_n', 2)])
def test_other_kinds_count_through_the_stages(layer_map):
    assert layer_map.pairs([2, 4], [1, 2]) == layer_map.pairs(6, 3)
    assert layer_map.pairs([2, 4], 3) == layer_map.pairs(6, 3)


def test_list_may_leave_layers_out():
    assert whole(LayerMap([0, None, 1, 1]).pairs(4, 2)) == [(0, 0), (2, 1), (3, 1)]


@pytest.mark.parametrize('num_student, teachers', [(24, range(12)), (4, [2, 5]), (12, range(6))])
def test_alternate_gives_attention_and_mlp_of_the_same_layer(num_student, teachers):
    pairs = LayerMap('alternate').pairs(num_student, list(teachers)[-1] + 1)
    expected = [(layer, part) for layer in teachers for part in ('attention', 'mlp')]
    assert [(pair.teacher, pair.part.value) for pair in pairs] == expected
    assert [pair.student for pair in pairs] == list(range(num_student))


def test_alternate_of_an_odd_depth_is_a_user_error():
    with pytest.raises(UserError, match=r"'alternate'.* 5"):
        LayerMap('alternate').pairs(5, 5)


def test_list_may_name_parts():
    pairs = LayerMap(['attention of 0', 'mlp of 1', None, 1]).pairs(4, 2)
    expected = [(0, 0, LayerPart.ATTENTION), (1, 1, LayerPart.MLP), (3, 1, LayerPart.WHOLE)]
    assert pairs == expected
    line = LayerMap(['attention of 0', 'mlp of 1', None, 1]).describe(4, 2)
    assert line.endswith('0<-attention of 0, 1<-mlp of 1, 2<--, 3<-1')


@pytest.mark.parametrize(
    'listed',
    [
        *([0, 1], [0, 1, 2], [0, 1, -1], [0, 1, 'last'], [0, 1.0, 1], [True, 0, 0]),
        *([0, 1, 'mlp of 2'], [0, 1, 'head of 1'], [0, 1, 'mlp of -1'], [0, 1, 'mlp of 1 ']),
    ],
)
def test_wrong_list_is_a_user_error(listed):
    with pytest.raises(UserError, match=r'student has 3|layers are 0 to 1'):
        LayerMap(listed).pairs(3, 2)


@pytest.mark.parametrize(
    'config, message',
    [
        ('unifrom', 'choose one of uniform'),
        (5, 'layer_map=5 is unknown'),
        ('first_n', 'n=.* of .*first_n'),
        ({'kind': 'first_n', 'n': 0}, 'n=.* of .*first_n'),
        ({'kind': 'last', 'n': 3}, 'belongs to'),
        ({'kind': 'uniform', 'number': 3}, 'has no number'),
    ],
)
def test_wrong_config_is_a_user_error(config, message):
    with pytest.raises(UserError, match=message):
        LayerMap.from_config(config)


def test_config_forms():
    assert LayerMap.from_config('last') == LayerMap('last')
    assert LayerMap.from_config({'kind': 'first_n', 'n': 4}) == LayerMap('first_n', 4)
    assert whole(LayerMap.from_config([0, None]).pairs(2, 1)) == [(0, 0)]
    same = LayerMap('uniform')
    assert LayerMap.from_config(same) is same


def test_describe_is_one_line_with_every_student_layer():
    line = LayerMap('last').describe(4, 2)
    assert '\n' not in line
    assert line.endswith('0<--, 1<--, 2<-0, 3<-1')


def test_describe_shows_the_stages():
    line = LayerMap('stages').describe([2, 1], [1, 1])
    assert line.endswith('(stages; student<-teacher): 0<-0, 1<-0 | 2<-1')
