"""Text models. Transformers' modeling code (a second of imports) is imported on first use."""

from importlib import import_module
from typing import Any

from transmamba_mm.models.hf.causal_lm import build_causal_lm
from transmamba_mm.registry import MODELS

#: Modules of the classes that are imported on first use.
CLASSES = {
    'CausalAttentionSwap': 'transmamba_mm.models.hf.causal_attention_swap',
    'MambaLM': 'transmamba_mm.models.hf.mamba_lm',
}


@MODELS.register_module(name='MambaLM')
def build_mamba_lm(**kwargs) -> Any:
    """Build a :class:`~transmamba_mm.models.hf.mamba_lm.MambaLM`; same arguments."""
    return __getattr__('MambaLM')(**kwargs)


@MODELS.register_module(name='CausalAttentionSwap')
def build_causal_attention_swap(**kwargs) -> Any:
    """Build a :class:`~...causal_attention_swap.CausalAttentionSwap`; same arguments."""
    return __getattr__('CausalAttentionSwap')(**kwargs)


def __getattr__(name: str) -> Any:
    if name not in CLASSES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(CLASSES[name]), name)


__all__ = [
    'CausalAttentionSwap',
    'MambaLM',
    'build_causal_attention_swap',
    'build_causal_lm',
    'build_mamba_lm',
]
