"""Language models. Transformers' modeling code (a second of imports) waits until one is wanted."""

from typing import Any

from transmamba_mm.registry import MODELS


@MODELS.register_module(name='MambaLM')
def build_mamba_lm(**kwargs) -> Any:
    """Build a :class:`~transmamba_mm.models.hf.mamba_lm.MambaLM`; same arguments."""
    from transmamba_mm.models.hf.mamba_lm import MambaLM

    return MambaLM(**kwargs)


def __getattr__(name: str) -> Any:
    if name != 'MambaLM':
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from transmamba_mm.models.hf.mamba_lm import MambaLM

    return MambaLM


__all__ = ['MambaLM', 'build_mamba_lm']
