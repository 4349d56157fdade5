"""Recompute the inner values of attention modules from their inputs."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from transmamba_mm.models.layouts.feature_source import CallInputs, FeatureSource


def attention_sources(
    backbone: nn.Module, paths: Sequence[str], compute: Callable[[Any, CallInputs, Any], Any]
) -> list[FeatureSource]:
    """Features that are computed again from the inputs of the modules at ``paths``.

    Args:
        backbone (nn.Module): Has the modules.
        paths (Sequence[str]): One for each layer.
        compute (Callable): Takes the module, the inputs of its call and the patch grid.
    """
    return [
        FeatureSource(path, partial(compute, backbone.get_submodule(path)), from_inputs=True)
        for path in paths
    ]


def rerun_attention(attention: Any, inputs: CallInputs, grid: Any = None) -> Tensor:
    """Attention map (B, heads, L, L) of a recorded call of an attention module of transformers.

    The fast implementations return no map, so the module runs once more with the eager one. That
    covers rotary positions, grouped keys and norms of queries and keys, whatever the family has.

    Args:
        attention (nn.Module): With a ``config``.
        inputs (CallInputs): Of the call.
        grid: Not used.
    """
    hidden = inputs.hidden_states
    kwargs = {key: value for key, value in inputs.kwargs.items() if key != 'hidden_states'}
    causal = kwargs.get('is_causal', getattr(attention, 'is_causal', False))
    kwargs['attention_mask'] = _eager_mask(kwargs.get('attention_mask'), hidden, causal)
    for name in ('cache', 'past_key_values'):  # the call has added its keys there already
        if name in kwargs:
            kwargs[name] = None
    config = attention.config
    chosen = config._attn_implementation
    config._attn_implementation = 'eager'
    try:
        return attention.forward(hidden, *inputs.args[1:], **kwargs)[1]  # no hook runs twice
    finally:
        config._attn_implementation = chosen


def _eager_mask(mask: Tensor | None, hidden: Tensor, causal: bool) -> Tensor | None:
    """The mask to add to attention scores, of one for ``scaled_dot_product_attention``."""
    if mask is None:
        if not causal:
            return None
        length = hidden.shape[1]
        mask = torch.ones(1, 1, length, length, dtype=torch.bool, device=hidden.device).tril()
    if mask.dtype != torch.bool:
        return mask
    lowest = torch.finfo(hidden.dtype).min
    return torch.zeros_like(mask, dtype=hidden.dtype).masked_fill(~mask, lowest)
