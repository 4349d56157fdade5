"""Folders of transformers: those that load, and the errors for the others."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoModelForCausalLM, GPT2Config, MambaForCausalLM, PreTrainedTokenizerFast

from tests.models.hf.small_lm import ours_alone, pair, tokens
from transmamba_mm.errors import UserError
from transmamba_mm.models.hf import MambaLM
from transmamba_mm.models.hf.pretrained import save_architecture


@pytest.fixture
def saved(tmp_path):
    """A folder that transformers wrote, and the model in it."""
    _, theirs = pair()
    theirs.generation_config.max_new_tokens = 3
    theirs.save_pretrained(tmp_path)
    return tmp_path, theirs


def test_theirs_to_ours_and_back(saved, tmp_path):
    folder, theirs = saved
    ours = MambaLM(checkpoint=folder)
    assert not ours.training
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert ours.lm_head.weight is ours.get_input_embeddings().weight
    assert ours.generation_config.max_new_tokens == 3
    assert torch.equal(
        ours.generate(tokens(), pad_token_id=0), theirs.generate(tokens(), pad_token_id=0)
    )
    ours.save_pretrained(tmp_path / 'back')
    config = json.loads((tmp_path / 'back/config.json').read_text())
    assert config['architectures'] == ['MambaForCausalLM']
    for loader in (MambaForCausalLM, AutoModelForCausalLM, MambaLM):
        back = loader.from_pretrained(tmp_path / 'back').state_dict()
        assert all(torch.equal(back[key], value) for key, value in theirs.state_dict().items())


def test_a_model_that_reads_b_and_c_from_the_hidden_state_comes_back(tmp_path):
    ours = ours_alone(bc_from='hidden')
    ours.save_pretrained(tmp_path)
    config = json.loads((tmp_path / 'config.json').read_text())
    assert config['bc_from'] == 'hidden' and config['architectures'] == ['MambaLM']
    back = MambaLM(checkpoint=tmp_path)
    assert torch.equal(back(tokens()).logits, ours(tokens()).logits)
    with pytest.raises(RuntimeError, match='mismatch'):  # transformers' own class is no such model
        MambaForCausalLM.from_pretrained(tmp_path)


def test_loaded_weights_survive_mmengine_and_train(saved):
    ours = MambaLM(checkpoint=saved[0])
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    ours.init_weights()
    assert all(torch.equal(before[key], value) for key, value in ours.state_dict().items())
    ours.train()(tokens(), labels=tokens()).loss.backward()
    assert all(p.requires_grad and p.grad is not None for p in ours.parameters())


@pytest.mark.parametrize('dtype', ['bfloat16', torch.float64])
def test_dtype(saved, dtype):
    expected = torch.bfloat16 if dtype == 'bfloat16' else dtype
    assert MambaLM(checkpoint=str(saved[0]), dtype=dtype).dtype == expected


def test_the_architecture_alone(saved, tmp_path):
    folder, theirs = saved
    ours = MambaLM(checkpoint=folder, dtype='bfloat16')
    save_architecture(folder, tmp_path / 'kept')
    assert not list((tmp_path / 'kept').glob('*.safetensors'))
    bare = MambaLM(checkpoint=tmp_path / 'kept', dtype='bfloat16', weights=False)
    assert bare.generation_config.max_new_tokens == 3
    assert not torch.equal(bare(tokens()).logits, ours(tokens()).logits)
    bare.load_state_dict(theirs.state_dict())
    assert torch.equal(bare.eval()(tokens()).logits, ours(tokens()).logits)
    assert bare.lm_head.weight is bare.get_input_embeddings().weight
    with pytest.raises(UserError, match='no readable weights'):
        MambaLM(checkpoint=tmp_path / 'kept')


def test_shards(saved, tmp_path):
    saved[1].save_pretrained(tmp_path / 'shards', max_shard_size='10KB')
    assert len(list((tmp_path / 'shards').glob('*.safetensors'))) > 1
    assert torch.equal(
        MambaLM(checkpoint=tmp_path / 'shards')(tokens()).logits.argmax(-1),
        saved[1](tokens()).logits.argmax(-1),
    )


def test_a_pickle_of_tensors_loads_and_one_with_code_does_not(saved):
    folder, theirs = saved
    (folder / 'model.safetensors').unlink()
    torch.save(theirs.state_dict(), folder / 'pytorch_model.bin')
    assert MambaLM(checkpoint=folder).num_layers == 3

    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(folder / 'ran'),)

    torch.save({**theirs.state_dict(), 'extra': Malicious()}, folder / 'pytorch_model.bin')
    with pytest.raises(UserError, match='no readable weights'):
        MambaLM(checkpoint=folder)
    assert not (folder / 'ran').exists()


def test_nothing_there(tmp_path):
    for missing in (tmp_path / 'absent', './absent', 'a/b/c'):
        with pytest.raises(UserError, match='No model at'):
            MambaLM(checkpoint=missing)
    with pytest.raises(UserError, match=r'no config\.json'):
        MambaLM(checkpoint=tmp_path)


def test_weights_are_missing(saved):
    (saved[0] / 'model.safetensors').unlink()
    with pytest.raises(UserError, match='no readable weights'):
        MambaLM(checkpoint=saved[0])


def test_another_architecture(tmp_path):
    GPT2Config().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="type 'gpt2'"):
        MambaLM(checkpoint=tmp_path)


def test_the_format_of_mamba_ssm_is_sent_to_the_converter(tmp_path):
    (tmp_path / 'config.json').write_text('{"d_model": 32, "n_layer": 2, "vocab_size": 64}')
    with pytest.raises(UserError, match=r'tools/convert\.py mamba_lm'):
        MambaLM(checkpoint=tmp_path)


@pytest.mark.parametrize(
    'kind, change',
    [
        ('missing', lambda sd: sd.pop('backbone.layers.1.mixer.A_log')),
        ('unexpected', lambda sd: sd.update({'backbone.extra': torch.ones(2)})),
        ('mismatched', lambda sd: sd.update({'backbone.norm_f.weight': torch.ones(9)})),
    ],
)
def test_weights_that_do_not_fit_are_named(saved, kind, change):
    file = saved[0] / 'model.safetensors'
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={'format': 'pt'})
    with pytest.raises(UserError, match=f'{kind} keys: .*backbone'):
        MambaLM(checkpoint=saved[0])


def test_tokenizer(saved):
    folder, _ = saved
    with pytest.raises(UserError, match='has no tokenizer'):
        _ = MambaLM(checkpoint=folder).tokenizer
    words = Tokenizer(WordLevel({'[PAD]': 0, 'what': 1, 'shape': 2}, unk_token='[PAD]'))
    words.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token='[PAD]').save_pretrained(folder)
    batch = MambaLM(checkpoint=folder).tokenizer(
        ['what shape', 'shape'], padding=True, return_tensors='pt'
    )
    assert batch['input_ids'].tolist() == [[1, 2], [0, 2]]
    assert batch['attention_mask'].tolist() == [[1, 1], [0, 1]]
    with pytest.raises(UserError, match='no tokenizer'):
        _ = pair()[0].tokenizer
