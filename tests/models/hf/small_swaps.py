"""Small swapped Transformers of text."""

import torch

from tests.models.hf.small_lm import lively
from transmamba_mm.models.hf import CausalAttentionSwap
from transmamba_mm.models.hf.recurrent_cache import KEYWORDS
from transmamba_mm.registry import MODELS

SIZES = {
    'vocab_size': 53,
    'hidden_size': 24,
    'intermediate_size': 40,
    'num_hidden_layers': 4,
    'num_attention_heads': 6,
    'pad_token_id': 0,
    'bos_token_id': None,
    'eos_token_id': None,
}
GROUPED = {**SIZES, 'num_key_value_heads': 2}
FAMILIES = {
    'llama': {'model_type': 'llama', **SIZES},
    'llama-grouped': {'model_type': 'llama', **GROUPED},
    'mistral': {'model_type': 'mistral', **GROUPED, 'sliding_window': 5},
    'qwen2': {'model_type': 'qwen2', **GROUPED},
}
#: Layers that are scans.
HYBRIDS = {'all': None, 'first': [0], 'some': [1, 3], 'but-one': [0, 1, 3]}
CLIP_TEXT = {**SIZES, 'max_position_embeddings': 20, 'eos_token_id': 1}


def language_model(family='llama', dtype=torch.float32):
    """A Transformer of transformers, in eval mode, with random numbers everywhere."""
    torch.manual_seed(0)
    model = MODELS.build({'type': 'CausalLM', 'config': FAMILIES[family]}).eval()
    lively(model)
    return model.to(dtype)


def clip_text(dtype=torch.float32):
    """CLIP's text Transformer, likewise."""
    torch.manual_seed(0)
    model = MODELS.build({'type': 'ClipText', 'config': CLIP_TEXT}).eval()
    lively(model)
    return model.to(dtype)


def cache_of(output):
    """The cache of an output, by the name that this transformers has for it."""
    return next(output[name] for name in KEYWORDS if name in output)


def swapped(transformer, dtype=torch.float64, **options) -> CausalAttentionSwap:
    """A swap in eval mode, its mixers with random numbers everywhere."""
    torch.manual_seed(1)
    model = CausalAttentionSwap(transformer, **options)
    model.init_weights()
    for swap in model.swaps():
        lively(swap)
    return model.to(dtype).eval()
