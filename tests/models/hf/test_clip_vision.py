"""ClipVision hands out what transformers' CLIP has at the same layer."""

import pytest
import torch
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModel

from transmamba_mm.errors import UserError
from transmamba_mm.registry import MODELS

CONFIG = {
    'image_size': 16,
    'patch_size': 4,
    'hidden_size': 24,
    'intermediate_size': 32,
    'num_hidden_layers': 3,
    'num_attention_heads': 2,
}


def build(**kwargs):
    torch.manual_seed(0)
    return MODELS.build({'type': 'ClipVision', **kwargs})


def images(side=16):
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('layer', [-1, -2, 0])
@pytest.mark.parametrize('whole', [False, True])
def test_equals_transformers_at_every_layer(tmp_path, layer, whole):
    torch.manual_seed(0)
    if whole:
        text = {'hidden_size': 16, 'num_hidden_layers': 1, 'num_attention_heads': 2}
        model = CLIPModel(CLIPConfig(vision_config=CONFIG, text_config=text))
        vision = model.vision_model
    else:
        vision = model = CLIPVisionModel(CLIPVisionConfig(**CONFIG))
    model.eval().save_pretrained(tmp_path)
    ours = build(checkpoint=str(tmp_path), layer=layer)
    ours.init_weights()
    hidden = vision(images(), output_hidden_states=True).hidden_states[1:]
    (found,) = ours.eval()(images())
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), hidden[layer][:, 1:])
    assert len(ours.layer_paths()) == layer % 3 + 1
    names = dict(ours.named_modules())
    assert all(path in names for path in ours.layer_paths())
    (tmp_path / 'model.safetensors').unlink()
    bare = build(checkpoint=str(tmp_path), layer=layer, weights=False).eval()
    bare.load_state_dict(ours.state_dict())
    assert torch.equal(bare(images())[0], found)


def test_cls_token_is_what_clip_pools():
    model = build(config=CONFIG, out_type='cls_token').eval()
    (found,) = model(images())
    torch.testing.assert_close(found, model.model(images()).pooler_output)
    with pytest.raises(UserError, match='out_type'):
        build(config=CONFIG, out_type='raw')


def test_the_mean_patch_is_normalized_as_the_cls_token_is():
    model = build(config=CONFIG, out_type='avg_featmap').eval()
    torch.nn.init.normal_(model.core.post_layernorm.weight)
    (found,) = model(images())
    patches = model.model(images()).last_hidden_state[:, 1:]
    torch.testing.assert_close(found, model.core.post_layernorm(patches.mean(1)))


def test_takes_images_of_another_size():
    (found,) = build(config=CONFIG)(images(24))
    assert found.shape == (2, 24, 6, 6)
    with pytest.raises(UserError, match='patches of 4'):
        build(config=CONFIG)(images(18))


def test_frozen_is_neither_trained_nor_in_training():
    model = build(config=CONFIG, frozen=True).train()
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert build(config=CONFIG).train().training


@pytest.mark.parametrize(
    'arguments, message',
    [
        ({}, 'one of them'),
        ({'config': CONFIG, 'layer': 3}, 'layer=3'),
        ({'config': {'width': 3}}, 'no width'),
        ({'checkpoint': 'no/where/at/all'}, 'at no/where/at/all'),
    ],
)
def test_invalid_arguments_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        build(**arguments)


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path):
    from transformers import LlamaConfig

    LlamaConfig().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="type 'llama'"):
        build(checkpoint=str(tmp_path))
