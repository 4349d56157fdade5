"""transformers' models, read from folders of ``save_pretrained``."""

import json

import pytest
import torch
import transformers as tf
from safetensors.torch import load_file, save_file

from tests.convert.teachers.parity import built, largest_difference, randomize
from transmamba_mm.convert.teachers import read_pretrained
from transmamba_mm.errors import UserError

SIZES = {
    'hidden_size': 32,
    'num_hidden_layers': 2,
    'num_attention_heads': 2,
    'image_size': 32,
    'patch_size': 8,
}
SIZES |= {'layer_norm_eps': 1e-3}
WIDE = {**SIZES, 'intermediate_size': 64}
SWIN = {
    **{'image_size': 56, 'patch_size': 4, 'embed_dim': 32, 'depths': [1, 2]},
    **{'num_heads': [1, 2], 'window_size': 7, 'layer_norm_eps': 1e-3},
}
KINDS = {
    'vit': lambda: tf.ViTForImageClassification(tf.ViTConfig(**WIDE, num_labels=5)),
    'vit without bias': lambda: tf.ViTForImageClassification(
        tf.ViTConfig(**WIDE, num_labels=5, qkv_bias=False)
    ),
    'deit': lambda: tf.DeiTForImageClassification(tf.DeiTConfig(**WIDE, num_labels=5)),
    'distilled': lambda: tf.DeiTForImageClassificationWithTeacher(
        tf.DeiTConfig(**WIDE, num_labels=5)
    ),
    'dinov2': lambda: tf.Dinov2ForImageClassification(tf.Dinov2Config(**SIZES, num_labels=5)),
    'registers': lambda: tf.Dinov2WithRegistersForImageClassification(
        tf.Dinov2WithRegistersConfig(**SIZES, num_labels=5)
    ),
    'siglip': lambda: tf.SiglipForImageClassification(
        tf.SiglipConfig(vision_config=WIDE, text_config=TEXT, num_labels=5)
    ),
    'swin': lambda: tf.SwinForImageClassification(tf.SwinConfig(**SWIN, num_labels=5)),
}
TEXT = {**{key: WIDE[key] for key in ('hidden_size', 'num_hidden_layers', 'intermediate_size')}}
TEXT |= {'num_attention_heads': 2, 'vocab_size': 20, 'bos_token_id': 1, 'eos_token_id': 2}
PREPROCESSOR = {'image_mean': [0.5] * 3, 'image_std': [0.25] * 3, 'resample': 2}


@pytest.mark.parametrize('kind', KINDS)
def test_logits_are_those_of_transformers(kind, tmp_path):
    model = randomize(KINDS[kind]())
    model.save_pretrained(tmp_path)
    (tmp_path / 'preprocessor_config.json').write_text(json.dumps(PREPROCESSOR))
    found = read_pretrained(tmp_path)
    size = 56 if kind == 'swin' else 32
    assert largest_difference(model, found, size) < 1e-5
    assert found.library == 'transformers' and found.num_classes == 5
    assert found.img_size == (size, size)
    assert found.mean == [127.5] * 3 and found.std == [63.75] * 3
    assert found.images.interpolation == 'bilinear' and found.images.classes is None


def test_names_of_version_4(tmp_path):
    """Files on the hub have them."""
    model = randomize(KINDS['vit']())
    model.config.id2label = dict(enumerate('abcde'))
    model.save_pretrained(tmp_path)
    renamed = {}
    for key, value in load_file(tmp_path / 'model.safetensors').items():
        for new, old in {
            'vit.layers': 'vit.encoder.layer',
            'attention.q_proj': 'attention.attention.query',
            'attention.k_proj': 'attention.attention.key',
            'attention.v_proj': 'attention.attention.value',
            'attention.o_proj': 'attention.output.dense',
            'mlp.fc1': 'intermediate.dense',
            'mlp.fc2': 'output.dense',
        }.items():
            key = key.replace(new, old)
        renamed[key] = value
    save_file(renamed, tmp_path / 'model.safetensors')
    found = read_pretrained(tmp_path)
    assert largest_difference(model, found, 32) < 1e-5
    assert found.images.classes == tuple('abcde')


def test_a_siglip_without_classes_gives_its_pooled_embedding(tmp_path):
    model = randomize(tf.SiglipVisionModel(tf.SiglipVisionConfig(**WIDE)))
    model.save_pretrained(tmp_path)
    found = read_pretrained(tmp_path)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        ours = built(found).extract_feat(images)[-1]
        torch.testing.assert_close(ours, model(images).pooler_output, rtol=1e-5, atol=1e-5)
    assert found.num_classes is None


def test_a_clip_gives_its_image_embedding(tmp_path):
    model = randomize(tf.CLIPModel(tf.CLIPConfig(vision_config=WIDE, text_config=TEXT)))
    model.save_pretrained(tmp_path)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        theirs = model.get_image_features(images)
        theirs = getattr(theirs, 'pooler_output', theirs)
        ours = built(read_pretrained(tmp_path))(images, mode='tensor')
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'model_type': 'resnet'}, 'is a resnet of transformers; clip, '),
        ({'model_type': 'llava'}, 'checkpoint of a LlavaTeacher'),
        ({'model_type': 'vit', 'hidden_act': 'relu'}, "hidden_act='relu'"),
        ([1], 'holds a list'),
    ],
)
def test_configs_that_are_refused(config, message, tmp_path):
    KINDS['vit']().save_pretrained(tmp_path)
    if isinstance(config, dict):
        config = {**json.loads((tmp_path / 'config.json').read_text()), **config}
    (tmp_path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(UserError, match=message):
        read_pretrained(tmp_path)
