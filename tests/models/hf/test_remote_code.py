"""A folder of transformers that brings code: none of it is executed, and nobody is asked."""

import json

import pytest
from transformers import AutoModelForImageTextToText

from transmamba_mm.errors import UserError
from transmamba_mm.models.hf.pretrained import load_tokenizer, load_weights


@pytest.fixture
def plant(tmp_path):
    """A folder whose config, model and tokenizer are classes of a file in it."""
    (tmp_path / 'theirs.py').write_text(f'open({str(tmp_path / "executed")!r}, "w")\n')
    config = {
        'model_type': 'theirs',
        'auto_map': {
            'AutoConfig': 'theirs.Config',
            'AutoModelForImageTextToText': 'theirs.Model',
            'AutoTokenizer': ['theirs.Tokenizer', None],
        },
    }
    (tmp_path / 'config.json').write_text(json.dumps(config))
    tokenizer = {'tokenizer_class': 'Theirs', 'auto_map': config['auto_map']}
    (tmp_path / 'tokenizer_config.json').write_text(json.dumps(tokenizer))
    return tmp_path


@pytest.mark.parametrize(
    'load', [load_tokenizer, lambda folder: load_weights(AutoModelForImageTextToText, folder)]
)
def test_code_in_a_folder_is_refused(plant, monkeypatch, load):
    monkeypatch.setattr('builtins.input', lambda _: 'y')
    with pytest.raises(UserError, match='code of its own') as caught:
        load(str(plant))
    assert str(plant) in str(caught.value) and not (plant / 'executed').exists()
