"""Checkpoints load without running code, from wherever they lie."""

import os
import re
from argparse import Namespace

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file

from transmamba_mm.checkpoint import load_checkpoint, load_state_dict, resolve_checkpoint
from transmamba_mm.errors import UserError
from transmamba_mm.weights_file import save_weights


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, trace, function=os.mkdir):
        self.trace, self.function = str(trace), function

    def __reduce__(self):
        return self.function, (self.trace,)


class Getattr:
    """Asks for ``getattr`` on something else than mmengine's log history."""

    def __reduce__(self):
        return getattr, (torch.Tensor, '__reduce__')


@pytest.fixture
def weights():
    return {'linear.weight': torch.arange(6.0).view(2, 3), 'linear.bias': torch.ones(2)}


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
def test_code_is_refused_and_does_not_run(tmp_path, weights, zipped):
    trace, file = tmp_path / 'ran', tmp_path / 'evil.pth'
    torch.save(
        {'state_dict': weights, 'extra': Malicious(trace)},
        file,
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(UserError, match=rf'{re.escape(str(file))} was refused.*\.mkdir'):
        load_checkpoint(file)
    assert not trace.exists()
    torch.load(file, weights_only=False)
    assert trace.exists(), 'the test file is harmless: this test proves nothing'


def test_getattr_is_no_way_around(tmp_path):
    torch.save({'extra': Getattr()}, tmp_path / 'evil.pth')
    with pytest.raises(UserError, match=r'was refused.*getattr\(.*Tensor'):
        load_checkpoint(tmp_path / 'evil.pth')


def test_what_trainers_save_beside_weights_is_accepted(tmp_path, weights):
    history = HistoryBuffer([1.0, 3.0], [1, 1])
    torch.save(
        {
            'model': weights,
            'args': Namespace(lr=0.1),
            'message_hub': {'loss': history, 'scalar': np.float64(2.5), 'int': np.int64(3)},
        },
        tmp_path / 'rich.pth',
    )
    checkpoint = load_checkpoint(tmp_path / 'rich.pth')
    assert checkpoint['message_hub']['loss'].mean() == 2.0
    assert checkpoint['message_hub']['scalar'] == 2.5
    assert checkpoint['args'].lr == 0.1


@pytest.mark.parametrize('wrap', ['state_dict', 'model', None])
def test_state_dict_of_every_wrapping(tmp_path, weights, wrap):
    torch.save({wrap: weights, 'epoch': 3} if wrap else weights, tmp_path / 'weights.pth')
    loaded = load_state_dict(tmp_path / 'weights.pth')
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[key], weights[key]) for key in weights)


def test_data_parallel_prefix_is_dropped(tmp_path, weights):
    torch.save({f'module.{key}': value for key, value in weights.items()}, tmp_path / 'w.pth')
    assert load_state_dict(tmp_path / 'w.pth').keys() == weights.keys()


def test_safetensors(tmp_path, weights):
    save_file(weights, tmp_path / 'w.safetensors')
    loaded = load_state_dict(tmp_path / 'w.safetensors')
    assert all(torch.equal(loaded[key], weights[key]) for key in weights)


def test_work_dir_means_its_last_checkpoint_even_after_a_move(tmp_path, weights):
    torch.save({'state_dict': weights}, tmp_path / 'epoch_2.pth')
    (tmp_path / 'last_checkpoint').write_text('/where/it/once/was/epoch_2.pth')
    assert resolve_checkpoint(tmp_path) == tmp_path / 'epoch_2.pth'
    assert load_state_dict(tmp_path).keys() == weights.keys()


def test_url_comes_from_the_hub_cache(tmp_path, weights, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    cached = tmp_path / 'hub/checkpoints/deit.pth'
    cached.parent.mkdir(parents=True)
    torch.save({'model': weights}, cached)
    assert resolve_checkpoint('https://example.invalid/zoo/deit.pth') == cached


def test_unreachable_url_names_where_to_put_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    with pytest.raises(UserError, match=r'Could not download .*put it at .*hub/checkpoints/d\.pth'):
        load_checkpoint('http://127.0.0.1:9/d.pth')


@pytest.mark.parametrize(
    ('prepare', 'message'),
    [
        (lambda path: None, r'No checkpoint at .*absent\.pth .*\.pth or \.safetensors'),
        (lambda path: path.mkdir(), r'folder without a checkpoint.*train it first'),
        (lambda path: path.write_bytes(b'hello' * 50), 'not a checkpoint that PyTorch can read'),
        (lambda path: torch.save([1, 2], path), 'holds a list'),
        (lambda path: torch.save({'epoch': 1}, path), r'holds no weights.*epoch'),
    ],
    ids=['missing', 'empty work_dir', 'garbage', 'not a dict', 'no weights'],
)
def test_every_failure_names_the_file_and_the_way_out(tmp_path, prepare, message):
    path = tmp_path / 'absent.pth'
    prepare(path)
    with pytest.raises(UserError, match=message):
        load_state_dict(path)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_tied_weights_and_views_are_saved_whole(tmp_path, suffix):
    table = torch.randn(4, 6)
    tied = {'embed': table, 'head': table, 'rows': table[1:3], 'turned': table.T, 'none': table[:0]}
    save_weights(tied, tmp_path / f'tied{suffix}')
    loaded = load_state_dict(tmp_path / f'tied{suffix}')
    assert loaded.keys() == tied.keys()
    assert all(torch.equal(loaded[key], tied[key]) for key in tied)


def test_broken_safetensors(tmp_path):
    (tmp_path / 'w.safetensors').write_bytes(b'garbage' * 10)
    with pytest.raises(UserError, match='not a safetensors file'):
        load_checkpoint(tmp_path / 'w.safetensors')


@pytest.mark.parametrize('source', [10**9, 0.5, True, ['a.pth'], {'x': 1}])
def test_what_is_not_a_path_is_no_checkpoint(source):
    with pytest.raises(UserError, match='is no checkpoint: name a file'):
        resolve_checkpoint(source)
