"""The keyword of a Mamba's cache in transformers: ``cache_params``, from 5.24 on ``cache``."""

import inspect
from collections.abc import Mapping
from typing import Any

import transformers
from transformers.cache_utils import Cache
from transformers.models.mamba.modeling_mamba import MambaBlock, MambaForCausalLM, MambaModel

from transmamba_mm.errors import UserError

NAMES = ('cache', 'cache_params')


def _find_keyword() -> str:
    """The name that this transformers uses from ``generate`` down to each block."""
    forwards = [cls.forward for cls in (MambaForCausalLM, MambaModel, MambaBlock)]
    for name in NAMES:
        if all(name in inspect.signature(forward).parameters for forward in forwards):
            return name
    raise UserError(
        f'transformers {transformers.__version__} passes the cache of a Mamba neither as '
        f'{" nor as ".join(NAMES)}, so that MambaLM would generate without one: install '
        'transformers 5.20 to 5.24.'
    )


KEYWORD = _find_keyword()


def take_cache(cache: Cache | None, cache_params: Cache | None, others: Mapping[str, Any]) -> Any:
    """Return the one cache given under either name.

    Args:
        cache (Cache, optional): By its newer name.
        cache_params (Cache, optional): By its older name.
        others (Mapping): All other keywords of the call.

    Raises:
        UserError: A cache under both names, or under another one.
    """
    if cache is not None and cache_params is not None:
        raise UserError('MambaLM got cache and cache_params: give one, they are the same argument.')
    for name, value in others.items():
        if isinstance(value, Cache):
            raise UserError(f'MambaLM takes no cache as {name}: give it as {KEYWORD}.')
    return cache_params if cache is None else cache
