"""The states of scans in transformers' cache, beside the keys and values of attention."""

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, LinearAttentionLayer

from transmamba_mm.errors import UserError

#: What transformers calls the cache of a model: from 5.24 on, and before that.
KEYWORDS = ('cache', 'past_key_values')


class RecurrentLayer(LinearAttentionLayer, CacheLayerMixin):
    """Convolution and scan state of one layer, and how many tokens they have read.

    Transformers' own layer does not count tokens, but in a cache without an attention layer it
    gives the position of the next token.
    """

    is_compileable = False
    is_croppable = False

    def __init__(self) -> None:
        CacheLayerMixin.__init__(self)
        LinearAttentionLayer.__init__(self)
        self.length = 0

    def update_conv_state(self, conv_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Add new tokens (B, E, L); returns those within the convolution's window."""
        self.length += conv_states.shape[-1]
        return super().update_conv_state(conv_states, *args, **kwargs)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        """A scan has neither keys nor values."""
        raise NotImplementedError('a RecurrentLayer has no keys and values')

    def get_seq_length(self) -> int:
        """Number of tokens read."""
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of a mask for ``query_length`` more tokens."""
        return self.length + query_length, 0

    def reset(self) -> None:
        """Make it empty."""
        super().reset()
        self.length = 0


def with_states(
    model: Any, args: tuple, kwargs: Mapping[str, Any], *, layers: Sequence[int]
) -> tuple[tuple, dict[str, Any]]:
    """Prepare a call of a Transformer of text that has scans among its layers.

    A forward pre-hook: a new cache gets states for the scans, and all layers get the mask of the
    padding as ``padding_mask``, since transformers hands them that of attention alone.

    Args:
        model (nn.Module): A ``LlamaModel``, a ``CLIPTextModel``, ...
        args, kwargs: Of the call.
        layers (Sequence[int]): Those that are scans.

    Raises:
        UserError: A mask that transformers made for attention already; a cache with keys and values
            where there are scans.
    """
    names = list(signature(model.forward).parameters)
    kwargs = {**dict(zip(names, args, strict=False)), **kwargs}
    mask = kwargs.get('attention_mask')
    if mask is not None and (not isinstance(mask, Tensor) or mask.dim() != 2):
        raise UserError(
            'The scans of a swapped Transformer need the attention_mask (B, L), 0 for padding, not '
            "one of attention scores: pass that, and no cache_implementation='static'."
        )
    kwargs['padding_mask'] = mask
    keyword = next((name for name in KEYWORDS if name in names), None)
    if keyword is None:  # no language model
        return (), kwargs
    caches = [kwargs.pop(name, None) for name in KEYWORDS]
    cache = next((cache for cache in caches if cache is not None), None)
    if kwargs.get('use_cache') is None:
        kwargs['use_cache'] = model.config.use_cache and not model.training
    if cache is None and kwargs['use_cache']:
        cache = DynamicCache(config=model.config)
    if cache is not None:
        _add_states(cache, layers)
    return (), {**kwargs, keyword: cache}


def _add_states(cache: Cache, layers: Sequence[int]) -> None:
    """Give the scans of a new cache their states."""
    while len(cache.layers) <= layers[-1]:
        cache.layers.append(cache.layer_class_to_replicate())
    for index in layers:
        layer = cache.layers[index]
        if isinstance(layer, RecurrentLayer):
            continue
        if layer.is_initialized:
            raise UserError(
                f'The cache has keys and values of layer {index}, which is a scan: pass that '
                'of this model, or none.'
            )
        cache.layers[index] = RecurrentLayer()
