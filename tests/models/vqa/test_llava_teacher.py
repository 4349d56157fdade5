"""LlavaTeacher from folders of transformers: those that load, and the errors for the others."""

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    BlipConfig,
    BlipForConditionalGeneration,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from transmamba_mm.errors import UserError
from transmamba_mm.models.hf import model_source
from transmamba_mm.registry import MODELS, TOKENIZERS

WORDS = {'type': 'WordTokenizer', 'words': ['what', 'color', 'is', 'it', '?', 'red']}
SIZES = {
    'hidden_size': 16,
    'intermediate_size': 16,
    'num_hidden_layers': 2,
    'num_attention_heads': 2,
}
VISION = {'model_type': 'clip_vision_model', 'image_size': 8, 'patch_size': 4, **SIZES}
TEXT = {'model_type': 'llama', 'vocab_size': 12, **SIZES}


@pytest.fixture
def saved(tmp_path):
    config = LlavaConfig(vision_config=VISION, text_config=TEXT, image_token_index=11)
    LlavaForConditionalGeneration(config).save_pretrained(tmp_path)
    return tmp_path


def build(**arguments):
    return MODELS.build({'type': 'LlavaTeacher', 'prompt': '{question}', **arguments})


def test_a_folder_with_its_tokenizer_loads(saved):
    TOKENIZERS.build(WORDS).save_pretrained(saved)
    teacher = build(checkpoint=str(saved))
    loaded = LlavaForConditionalGeneration.from_pretrained(saved).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in teacher.model.state_dict().items())
    patches = teacher.encode_image(torch.randn(2, 3, 8, 8), ['what is it ?'] * 2)
    assert patches.shape == (2, 4, 16)


def test_a_folder_without_a_tokenizer_asks_for_one(saved):
    with pytest.raises(UserError, match='has no tokenizer'):
        build(checkpoint=str(saved))
    assert build(checkpoint=str(saved), tokenizer=WORDS).vocabulary['red'] == 8


def test_another_architecture_is_refused(tmp_path):
    BertModel(BertConfig(**SIZES)).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="type 'bert', not a LLaVA"):
        build(checkpoint=str(tmp_path), tokenizer=WORDS)


def test_a_model_without_the_interface_of_a_llava_is_refused(tmp_path):
    blip = BlipConfig(vision_config={**SIZES, 'image_size': 8, 'patch_size': 4}, text_config=SIZES)
    BlipForConditionalGeneration(blip).save_pretrained(tmp_path)
    with pytest.raises(UserError, match='LLaVA such as llava-hf'):
        build(checkpoint=str(tmp_path), tokenizer=WORDS)


def test_weights_that_are_missing_are_named(saved):
    (saved / 'model.safetensors').unlink()
    with pytest.raises(UserError, match='no readable weights'):
        build(checkpoint=str(saved), tokenizer=WORDS)


@pytest.mark.parametrize('layer', [-4, 3, 10**18, [0, 3]])
def test_a_feature_layer_that_the_vision_encoder_lacks(layer):
    config = {'vision_config': VISION, 'text_config': TEXT, 'image_token_index': 11}
    with pytest.raises(UserError, match=r'2 layers, so a layer is from -3 to 2'):
        build(config={**config, 'vision_feature_layer': layer}, tokenizer=WORDS)
    for known in (-3, 2):
        build(config={**config, 'vision_feature_layer': known}, tokenizer=WORDS)


@pytest.mark.parametrize('left_out', ['vision_config', 'text_config', None])
def test_a_new_model_larger_than_the_memory_is_refused(left_out, monkeypatch):
    """Sizes that are left out are those of a LLaVA of 7 billion parameters."""
    config = {'vision_config': VISION, 'text_config': TEXT, 'image_token_index': 11}
    monkeypatch.setattr(model_source, 'memory_size', lambda: 10**9)
    config = {key: value for key, value in config.items() if key != left_out}
    if left_out is None:
        assert build(config=config, tokenizer=WORDS)
        return
    with pytest.raises(UserError, match=r'config of LlavaTeacher has \d\.\d billion parameters'):
        build(config=config, tokenizer=WORDS)


def test_images_of_another_size_are_refused(saved):
    teacher = build(checkpoint=str(saved), tokenizer=WORDS)
    with pytest.raises(UserError, match=r'images of 8x8 pixels, not 16x8.*img_size=8'):
        teacher.encode_image(torch.randn(2, 3, 16, 8), ['what is it ?'] * 2)
