"""A folder of transformers with one bad file: one message with its name, if it is read at all."""

import json
import os

import pytest
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPModel

from tests.models.hf.small_lm import ours_alone
from tests.models.retrieval.small_retrieval import CLIP, start_and_end_tokenizer, word_tokenizer
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones import ClipVision
from transmamba_mm.models.hf import MambaLM
from transmamba_mm.models.hf.pretrained import load_tokenizer
from transmamba_mm.models.retrieval import Clip4ClipTeacher
from transmamba_mm.registry import MODELS

GARBLED = {
    'cut': lambda data: data[: len(data) * 2 // 3],
    'empty': lambda data: b'',
    'zeros': lambda data: bytes(len(data)),
    'a page': lambda data: b'<html>404</html>',
    'a list': lambda data: b'[1, 2]',
    'Latin-1': lambda data: data[:-2] + b'\xe9"}',
    'nested': lambda data: b'{"a":' * 200_000,
}
LOADERS = {
    'weights': lambda folder: MambaLM(checkpoint=folder),
    'architecture': lambda folder: MambaLM(checkpoint=folder, weights=False),
}


@pytest.fixture
def folder(tmp_path):
    """A Mamba with its tokenizer."""
    ours_alone().save_pretrained(tmp_path / 'lm')
    word_tokenizer().save_pretrained(tmp_path / 'lm')
    return tmp_path / 'lm'


@pytest.fixture
def clip(tmp_path):
    CLIPModel(CLIPConfig(**CLIP)).save_pretrained(tmp_path / 'clip')
    start_and_end_tokenizer().save_pretrained(tmp_path / 'clip')
    return tmp_path / 'clip'


@pytest.mark.parametrize('how', GARBLED)
def test_the_garbled_file_is_named(folder, how):
    for name in ('config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json'):
        file = folder / name
        whole = file.read_bytes()
        file.write_bytes(GARBLED[how](whole))
        read = load_tokenizer if name.startswith('token') else LOADERS['weights']
        with pytest.raises(UserError, match=rf'{name} cannot be read \('):
            read(folder)
        if name.endswith('config.json'):
            with pytest.raises(UserError, match=f'{name} cannot be read'):
                LOADERS['architecture'](folder)
        file.write_bytes(whole)
    read(folder)


@pytest.mark.parametrize('how', ['cut', 'zeros', 'a page'])
@pytest.mark.parametrize('name', ['config.json', 'model.safetensors', 'tokenizer.json'])
def test_the_garbled_file_of_a_clip_is_named(clip, name, how):
    file = clip / name
    file.write_bytes(GARBLED[how](file.read_bytes()))
    with pytest.raises(UserError, match=rf'{name} cannot be read \('):
        Clip4ClipTeacher(checkpoint=clip)
    if name != 'tokenizer.json':
        with pytest.raises(UserError, match=rf'{name} cannot be read \('):
            ClipVision(checkpoint=clip)


def test_files_that_nothing_reads_do_not_matter(clip):
    for name in ('preprocessor_config.json', 'processor_config.json', 'pytorch_model.bin'):
        (clip / name).write_bytes(b'{"cut')
    assert Clip4ClipTeacher(checkpoint=clip).model.config.projection_dim == 10


@pytest.mark.parametrize(
    'how', ['cut', 'a list', 'missing shard', 'cut shard', 'elsewhere', 'no map']
)
def test_the_index_of_shards_or_the_shard_is_named(folder, how):
    model = MambaLM(checkpoint=folder)
    (folder / 'model.safetensors').unlink()
    model.save_pretrained(folder, max_shard_size='10KB')
    index = folder / 'model.safetensors.index.json'
    shard = sorted(folder.glob('model-*.safetensors'))[1]
    named = shard if how == 'cut shard' else index
    if how == 'missing shard':
        shard.unlink()
    elif how == 'cut shard':
        shard.write_bytes(GARBLED['cut'](shard.read_bytes()))
    elif how == 'elsewhere':
        index.write_text(index.read_text().replace(shard.name, f'../{shard.name}'))
    elif how == 'no map':
        index.write_text(json.dumps({'weight_map': [shard.name]}))
    else:
        index.write_bytes(GARBLED[how](index.read_bytes()))
    with pytest.raises(UserError, match=rf'{named.name} cannot be read \(') as caught:
        MambaLM(checkpoint=folder)
    assert shard.name in str(caught.value) or how in ('cut', 'a list', 'no map')


@pytest.mark.parametrize('how', ['cut', 'zeros', 'a page'])
def test_a_damaged_pickle_is_named(folder, how):
    import torch

    torch.save(load_file(folder / 'model.safetensors'), folder / 'pytorch_model.bin')
    (folder / 'model.safetensors').unlink()
    assert MambaLM(checkpoint=folder)
    file = folder / 'pytorch_model.bin'
    file.write_bytes(GARBLED[how](file.read_bytes()))
    with pytest.raises(UserError, match='bin cannot be read'):
        MambaLM(checkpoint=folder)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        *(('model_type', value) for value in (3, ['mamba'], {})),
        *(('hidden_size', value) for value in (-1, 'wide', None, [], 1.5, 10**15)),
        *(('num_hidden_layers', value) for value in (-1, 'deep', None)),
        *(('vocab_size', value) for value in (-1, 'many', 10**15)),
        ('state_size', -2),
        ('time_step_rank', 'x'),
    ],
)
@pytest.mark.parametrize('loader', LOADERS)
def test_values_that_make_no_model_are_refused(folder, loader, key, value):
    file = folder / 'config.json'
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    if key == 'num_hidden_layers' and value == -1 and loader == 'architecture':
        pytest.skip('transformers makes a model without layers of it')
    with pytest.raises(UserError, match=str(folder)):
        LOADERS[loader](folder)


@pytest.mark.parametrize('part', ['vision_config', 'text_config'])
@pytest.mark.parametrize('value', ['x', -1, None])
def test_values_that_make_no_clip_are_refused(clip, part, value):
    file = clip / 'config.json'
    config = json.loads(file.read_text())
    config[part]['hidden_size'] = value
    file.write_text(json.dumps(config))
    text = {'type': 'ClipText', 'checkpoint': str(clip), 'weights': False}
    makers = {
        'vision_config': lambda: ClipVision(checkpoint=clip, weights=False),
        'text_config': lambda: MODELS.build(text),
    }
    for make in (makers[part], lambda: Clip4ClipTeacher(checkpoint=clip, weights=False)):
        with pytest.raises(UserError, match=str(clip)):
            make()


def test_a_pipe_is_named(folder):
    (folder / 'config.json').unlink()
    os.mkfifo(folder / 'config.json')
    with pytest.raises(UserError, match=r'config\.json cannot be read \(no file'):
        MambaLM(checkpoint=folder)
