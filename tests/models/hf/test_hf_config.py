"""Keys that a model of transformers does not have are refused, wherever they stand."""

import pytest
from transformers import CLIPConfig, LlavaConfig

from tests.models.retrieval.small_retrieval import CLIP, teacher
from transmamba_mm.errors import UserError
from transmamba_mm.models.hf.hf_config import build_config
from transmamba_mm.registry import MODELS

LLAMA = {
    **{'model_type': 'llama', 'hidden_size': 16, 'num_attention_heads': 2},
    'rope_theta': 1e4,
}
VISION = {'model_type': 'clip_vision_model', 'hidden_size': 16, 'num_attention_heads': 2}
LLAVA = {'vision_config': VISION, 'text_config': LLAMA, 'image_token_id': 3}


def test_what_transformers_makes_of_it():
    for kind, config in ((CLIPConfig, CLIP), (LlavaConfig, LLAVA)):
        assert build_config('Any', kind, config).to_dict() == kind(**config).to_dict()
    assert build_config('Any', LlavaConfig, LLAVA).text_config.hidden_size == 16


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({**LLAVA, 'image_tokens': 3}, 'Any has no image_tokens'),
        (
            {**LLAVA, 'vision_config': {**VISION, 'hidden_sizes': 3}},
            r'Any\.vision_config has no hidden_sizes',
        ),
        ({**LLAVA, 'text_config': {'hidden': 3}}, r'Any\.text_config has no hidden;'),
        ({'text_config': {'model_type': 'lama'}}, "no model_type='lama' for text_config"),
        ({'vision_config': {**VISION, 'num_attention_heads': 5}}, 'invalid: .*not a multiple'),
        ({'vision_config': {**VISION, 'hidden_size': 'x'}}, "invalid: .*'hidden_size'"),
    ],
)
def test_typos_and_values_that_cannot_be(config, message):
    with pytest.raises(UserError, match=message):
        build_config('Any', LlavaConfig, config)


def test_the_models_ask_for_it():
    with pytest.raises(UserError, match=r'Clip4ClipTeacher\.vision_config has no patch;'):
        teacher(config={**CLIP, 'vision_config': {**CLIP['vision_config'], 'patch': 4}})
    with pytest.raises(UserError, match=r'Clip4ClipTeacher.*eos_token_id=None'):
        teacher(config={**CLIP, 'text_config': {**CLIP['text_config'], 'eos_token_id': None}})
    with pytest.raises(UserError, match=r'ClipText.*eos_token_id=None'):
        MODELS.build({'type': 'ClipText', 'config': {'eos_token_id': None}})
    with pytest.raises(UserError, match='ClipText has no layers'):
        MODELS.build({'type': 'ClipText', 'config': {'layers': 3}})
    words = {'type': 'WordTokenizer', 'words': ['a']}
    config = {'type': 'LlavaTeacher', 'tokenizer': words, 'prompt': '{question}'}
    with pytest.raises(UserError, match='LlavaTeacher has no text'):
        MODELS.build({**config, 'config': {'text': {}}})


def test_a_dtype_that_torch_does_not_have():
    with pytest.raises(UserError, match="dtype='float33' is unknown"):
        MODELS.build({'type': 'ClipText', 'config': {}, 'dtype': 'float33'})
