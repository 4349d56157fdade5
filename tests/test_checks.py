"""Ranges and choices of arguments, where they arrive."""

import inspect

import pytest

from transmamba_mm import checks
from transmamba_mm.checks import (
    COUNT,
    FRACTION,
    SIDES,
    Each,
    Number,
    check,
    check_keys,
    check_one_given,
    checked,
    one_of,
)
from transmamba_mm.distillers import WSAB
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones import PlainMamba, VideoMamba, Vim, VMamba

NAN, INF = float('nan'), float('inf')
WRONG = [
    (COUNT, [0, -1, 1.5, True, None, 'x', [], NAN, INF, 10**18]),
    (FRACTION, [-0.1, 1.1, NAN, '0.5', False]),
    (checks.POSITIVE, [0, -1e-9, INF]),
    (SIDES, [0, (8,), (8, -8), (8, 8, 8), 'x', {}]),
    (Each(Number(0), alone=False), [3, [], [1, NAN], ['x']]),
    (one_of('a', 'b'), ['c', None, 1, [], ['a']]),
    (checks.FLAG, [1, 0, None, 'True']),
    (checks.Text(many=True), ['', 3, [3], {}]),
]
RIGHT = [
    (COUNT, [1, 10**6]),
    (FRACTION, [0, 1, 0.5]),
    (SIDES, [8, (8, 16), [8, 16]]),
    (checks.FLAG, [True, False]),
    (checks.Text(many=True), ['a', ['a', 'b'], []]),
]


@pytest.mark.parametrize(('rule', 'values'), WRONG, ids=str)
def test_wrong_values_are_named_with_their_argument(rule, values):
    for value in values:
        with pytest.raises(UserError) as error:
            check('Vim', 'thing', value, rule)
        assert str(error.value).startswith(f'thing={value!r} of Vim ')


@pytest.mark.parametrize(('rule', 'values'), RIGHT, ids=str)
def test_right_values_pass(rule, values):
    for value in values:
        check('Vim', 'thing', value, rule)


def test_decorated_constructor_is_the_same_to_everybody_else():
    class Thing:
        @checked(size=COUNT, share=FRACTION)
        def __init__(self, size: int, share: float | None = None) -> None:
            self.size = size

    assert list(inspect.signature(Thing).parameters) == ['size', 'share']
    assert Thing(3, share=None).size == 3
    with pytest.raises(UserError, match='size=0 of Thing'):
        Thing(0)
    with pytest.raises(TypeError, match='unexpected keyword'):
        Thing(3, sice=1)
    with pytest.raises(TypeError, match='missing'):
        Thing()


@pytest.mark.parametrize('backbone', [Vim, VMamba, VideoMamba, PlainMamba])
@pytest.mark.parametrize(
    'wrong',
    [
        {'patch_size': -2},
        {'in_channels': 0},
        {'conv_width': 1.5},
        {'drop_path_rate': 1.5},
        {'dt_rank': 0},
        {'out_type': 'featmaps'},
    ],
    ids=str,
)
def test_backbones(backbone, wrong):
    (name, value), *_ = wrong.items()
    with pytest.raises(UserError, match=f'{name}={value!r} of {backbone.__name__}'):
        backbone(arch='nano', **wrong)


def test_near_miss_of_a_choice():
    with pytest.raises(UserError, match="Did you mean 'softmax'"):
        WSAB([], weighting='sofmax')


def test_none_is_allowed_by_an_annotation():
    @checked(grid=COUNT, depth=COUNT)
    def build(grid: int | None = 4, depth: int = 1):
        return grid

    assert build(grid=None) is None
    with pytest.raises(UserError, match='depth=None'):
        build(depth=None)


def test_unknown_keys_come_with_the_known_ones():
    check_keys('Part', {'kind': 1}, ('kind', 'n'))
    with pytest.raises(UserError, match=r"^Part has no kindd; it has kind, n\. .*'kind'\? Hint\.$"):
        check_keys('Part', {'kindd': 1, 'n': 2}, ('n', 'kind'), ' Hint.')


@pytest.mark.parametrize('given', [{}, {'config': {}, 'checkpoint': 'x'}])
def test_one_of_two_arguments_is_needed(given):
    arguments = {'config': None, 'checkpoint': None}
    check_one_given('Part', **{**arguments, 'checkpoint': 'x'})
    with pytest.raises(UserError, match='config or checkpoint, one of them'):
        check_one_given('Part', **{**arguments, **given})
