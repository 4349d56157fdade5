"""One table of names, both ways; every converter is invertible."""

import pytest
import torch

from tests.golden import Golden
from transmamba_mm.convert import from_official, to_official
from transmamba_mm.errors import UserError
from transmamba_mm.key_map import KeyMap, Reshaped, Stack

FORMATS = {
    'vim': ('vim_midcls_div2', 'vim_headcls_nodiv', 'vim_nocls_mean_ln_unfused', 'vim_bimamba_v1'),
    'videomamba': ('videomamba_t4',),
    'vmamba': ('vmamba_v05_noz_s1', 'vmamba_v0'),
    'plainmamba': ('plainmamba_l1like',),
    'mamba_lm': ('mamba_lm',),
}


def official_state(family, name):
    """State dict of a golden file in the official names."""
    golden = Golden(name)
    names = golden.meta['hf_to_mamba_ssm_keys'] if family == 'mamba_lm' else {}
    return {names.get(key, key): value for key, value in golden.state_dict.items()}


def same(state, other):
    assert state.keys() == other.keys()
    assert all(torch.equal(state[key], other[key]) for key in state)


@pytest.mark.parametrize(
    'family, name', [(family, name) for family, names in FORMATS.items() for name in names]
)
def test_round_trip_from_either_side(family, name):
    official = official_state(family, name)
    ours = from_official(family, official)
    same(to_official(family, ours), official)
    same(from_official(family, to_official(family, ours)), ours)


@pytest.mark.parametrize('family', FORMATS)
def test_order_of_keys_is_kept_and_does_not_matter(family):
    official = official_state(family, FORMATS[family][0])
    backwards = dict(reversed(official.items()))
    same(from_official(family, backwards), from_official(family, official))
    assert list(to_official(family, from_official(family, backwards))) == list(backwards)


def test_numbers_fill_the_new_name_in_order():
    names = KeyMap({'layers.#.blocks.#.a': 'stages.#.#.b'})
    state = {'layers.10.blocks.2.a.weight': torch.ones(1), 'layers.x.blocks.2.a': torch.zeros(1)}
    assert list(names.rename(state)) == ['stages.10.2.b.weight', 'layers.x.blocks.2.a']
    same(names.inverse().rename(names.rename(state)), state)


def test_strided_numbers():
    names = KeyMap({'convs.3#': 'convs.#.conv', 'convs.3#+1': 'convs.#.bn'})
    state = {f'convs.{i}.weight': torch.tensor(i) for i in (0, 1, 6, 7)}
    expected = ['convs.0.conv', 'convs.0.bn', 'convs.2.conv', 'convs.2.bn']
    assert list(names.rename(state)) == [f'{name}.weight' for name in expected]
    same(names.inverse().rename(names.rename(state)), state)
    with pytest.raises(UserError, match=r'1 keys are not x keys: convs\.2\.weight'):
        names.rename_all({**state, 'convs.2.weight': torch.zeros(1)}, 'x', '')


def test_a_stack_is_split_and_joined():
    names = KeyMap({'#.qkv': Stack(('#.q', '#.k', '#.v'))})
    state = {'1.qkv.weight': torch.rand(6, 2), '1.qkv.bias': torch.rand(6)}
    split = names.rename(state)
    assert split['1.k.bias'].equal(state['1.qkv.bias'][2:4]) and len(split) == 6
    same(names.inverse().rename(split), state)
    same(names.inverse().rename(dict(reversed(split.items()))), state)
    del split['1.k.weight']
    with pytest.raises(UserError, match=r'#\.q and #\.k and #\.v .*only #\.q and #\.v'):
        names.inverse().rename(split)


def test_a_reshaped_tensor_comes_back():
    names = KeyMap({'#.D': Reshaped('d.#', lambda d: d.view(2, -1), torch.flatten)})
    state = {'0.D': torch.rand(6)}
    assert names.rename(state)['d.0'].shape == (2, 3)
    same(names.inverse().rename(names.rename(state)), state)
    assert list(names.inverse().inverse().rename(state)) == ['d.0']
