"""Parts of a config from checkpoints, and their saved assets."""

import shutil

import pytest
import torch
from mmengine.config import Config
from transformers import CLIPConfig, CLIPModel

from tests.models.hf.small_lm import ours_alone, tokens
from tests.models.retrieval.small_retrieval import CAPTIONS, CLIP, VIM, word_tokenizer
from transmamba_mm.models.hf.hf_assets import save_hf_assets, without_weights
from transmamba_mm.registry import MODELS

RECIPE = 'configs/transmamba/mambavqa-130m_llava-1.5-7b_vqav2.py'


def test_a_part_is_built_again_without_its_source(tmp_path):
    source = ours_alone(bc_from='hidden')
    source.save_pretrained(tmp_path / 'source')
    model = {'type': 'transmamba_mm.MambaLM', 'checkpoint': str(tmp_path / 'source')}
    assert save_hf_assets({'language': model}, tmp_path / 'run') == ['language']
    for file in (tmp_path / 'source').iterdir():
        file.unlink()
    config = without_weights({'language': model}, tmp_path / 'run')['language']
    again = MODELS.build(config)
    again.load_state_dict(source.state_dict())
    assert torch.equal(again.eval()(tokens()).logits, source(tokens()).logits)


def test_without_a_kept_architecture_the_source_is_named_still():
    model = Config.fromfile(RECIPE).model.student
    config = without_weights(model, 'work_dirs/nowhere')
    for part in (config.vision, config.language):
        assert part.pop('weights') is False
    assert config == model


@pytest.mark.parametrize('source', ['a whole CLIP', 'its text model', 'teacher'])
def test_a_clip_is_built_again_with_its_words(source, tmp_path):
    clip, folder = CLIPModel(CLIPConfig(**CLIP)), tmp_path / 'clip'
    (clip.text_model if source == 'its text model' else clip).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    text = {'type': 'ClipText', 'checkpoint': str(folder)}
    model = {'type': 'VideoTextRetriever', 'vision': VIM, 'text': text, 'embed_dims': 10}
    if source == 'teacher':
        model = {'type': 'Clip4ClipTeacher', 'checkpoint': str(folder)}
    trained = MODELS.build(model).eval()
    kept = save_hf_assets(model, tmp_path / 'run')
    assert kept == ['model' if source == 'teacher' else 'text']
    shutil.rmtree(folder)
    again = MODELS.build(without_weights(model, tmp_path / 'run')).eval()
    again.load_state_dict(trained.state_dict())
    assert torch.equal(again.encode_text(CAPTIONS), trained.encode_text(CAPTIONS))


@pytest.mark.parametrize('name', ['mambavqa-nano_llava-nano_easyvqa', 'vim-nano_deit-nano_digits'])
def test_models_of_no_checkpoint_are_left_alone(name, tmp_path):
    model = Config.fromfile(f'configs/transmamba/{name}.py').model.student
    assert save_hf_assets(model, tmp_path) == []
    assert without_weights(model, tmp_path) == model
    assert not list(tmp_path.iterdir())
