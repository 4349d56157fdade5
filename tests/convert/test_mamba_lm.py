"""mamba_ssm's format and transformers', both ways."""

import pytest
import torch
from transformers import MambaForCausalLM

from tests.golden import Golden
from tests.models.hf.small_lm import pair, tokens
from transmamba_mm.convert import build_from_official, from_official, to_official
from transmamba_mm.convert.mamba_lm import translate_config
from transmamba_mm.errors import UserError

EMBEDDINGS, OFFICIAL = 'backbone.embeddings.weight', 'backbone.embedding.weight'
#: config.json of the released mamba-130m.
OFFICIAL_CONFIG = {
    'd_model': 768,
    'n_layer': 24,
    'vocab_size': 50277,
    'ssm_cfg': {},
    'rms_norm': True,
    'residual_in_fp32': True,
    'fused_add_norm': True,
    'pad_vocab_size_multiple': 8,
}


@pytest.fixture
def golden() -> Golden:
    return Golden('mamba_lm')


@pytest.fixture
def official(golden) -> dict[str, torch.Tensor]:
    names = golden.meta['hf_to_mamba_ssm_keys']
    return {names[key]: value for key, value in golden.state_dict.items()}


def test_both_spellings_become_transformers(golden, official):
    ours = from_official('mamba_lm', official)
    assert ours.keys() == golden.state_dict.keys()
    assert from_official('mamba_lm', golden.state_dict).keys() == ours.keys()
    assert torch.equal(ours[EMBEDDINGS], official[OFFICIAL])


def test_round_trip(official):
    back = to_official('mamba_lm', from_official('mamba_lm', official))
    assert back.keys() == official.keys()
    assert all(torch.equal(back[key], official[key]) for key in official)


def test_official_weights_give_the_official_logits(golden, official):
    model = build_from_official('mamba_lm', official, img_size=None)
    assert not model.training
    logits = model(golden.input('input_ids', torch.long)).logits
    expected = golden.output('logits_mamba_ssm', torch.float32)
    torch.testing.assert_close(logits, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    'config',
    [
        {},
        {'use_bias': True, 'use_conv_bias': False},
        {'expand': 3, 'conv_kernel': 2, 'time_step_rank': 5, 'state_size': 7},
        {'tie_word_embeddings': False},
    ],
    ids=['plain', 'biases', 'sizes', 'untied'],
)
def test_config_is_inferred(config):
    _, theirs = pair(**config)
    model = build_from_official('mamba_lm', theirs.state_dict())
    for key, value in config.items():
        assert getattr(model.config, key) == value
    ids = tokens()
    torch.testing.assert_close(model(ids).logits, theirs(ids).logits, atol=2e-5, rtol=1e-4)


def test_a_tied_head_may_be_left_out_and_stays_tied(golden, official):
    del official['lm_head.weight']
    model = build_from_official('mamba_lm', {'model': official})
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert torch.equal(model.lm_head.weight, official[OFFICIAL])


def test_double_precision_stays(official):
    official = {key: value.double() for key, value in official.items()}
    assert build_from_official('mamba_lm', official).dtype == torch.float64


def test_the_official_config_may_be_given_whole(official):
    config = translate_config(OFFICIAL_CONFIG)
    assert config == {
        'hidden_size': 768,
        'num_hidden_layers': 24,
        'vocab_size': 50280,
        'residual_in_fp32': True,
    }
    own = {**OFFICIAL_CONFIG, 'd_model': 32, 'n_layer': 2, 'vocab_size': 61}
    own['ssm_cfg'] = {'layer': 'Mamba1', 'd_state': 8}
    model = build_from_official('mamba_lm', official, **own, norm_epsilon=1e-6)
    assert model.backbone.layers[0].norm.eps == 1e-6


@pytest.mark.parametrize(
    'foreign', [{'ssm_cfg': {'layer': 'Mamba2'}}, {'rms_norm': False}, {'attn_layer_idx': [3]}]
)
def test_other_architectures_are_refused_by_their_config(official, foreign):
    with pytest.raises(UserError, match='no plain Mamba'):
        build_from_official('mamba_lm', official, **foreign)


def test_what_does_not_fit_is_named(official):
    with pytest.raises(UserError, match=r'layers\.0\.mixer\.dt_bias'):
        from_official('mamba_lm', {**official, 'backbone.layers.0.mixer.dt_bias': torch.ones(1)})
    with pytest.raises(UserError, match=r'norm_f\.bias'):
        to_official('mamba_lm', {'backbone.norm_f.bias': torch.ones(1)})
    with pytest.raises(UserError, match='reads no images'):
        build_from_official('mamba_lm', official, 224)
    with pytest.raises(UserError, match=r'embeddings.weight: model \(99, 32\)'):
        build_from_official('mamba_lm', official, vocab_size=99)
    del official['backbone.layers.1.mixer.D']
    with pytest.raises(UserError, match=r'layers.1.mixer.D: model \(64,\), checkpoint -'):
        build_from_official('mamba_lm', official)
    with pytest.raises(UserError, match='no Mamba language model'):
        build_from_official('mamba_lm', {OFFICIAL: official[OFFICIAL]})
    official['backbone.layers.0.mixer.A_log'] = torch.zeros(65, 8)
    with pytest.raises(UserError, match='no multiple'):
        build_from_official('mamba_lm', official)


def test_image_families_still_need_an_image_size():
    with pytest.raises(UserError, match='img_size'):
        build_from_official('vim', Golden('vim_midcls_div2').state_dict)


def test_transformers_loads_what_was_converted(official, tmp_path):
    model = build_from_official('mamba_lm', official)
    model.save_pretrained(tmp_path)
    theirs = MambaForCausalLM.from_pretrained(tmp_path)
    ids = tokens()
    torch.testing.assert_close(theirs(ids).logits, model(ids).logits, atol=2e-5, rtol=1e-4)
