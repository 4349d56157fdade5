"""A Transformer of text with causal Mamba mixers in place of its attention."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import torch
from torch import LongTensor, Tensor, nn
from transformers.cache_utils import Cache

from transmamba_mm.checks import FLAG, checked, one_of
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.swapped_transformer import (
    STARTS,
    SwappedMixer,
    SwappedTransformer,
)
from transmamba_mm.models.hf.pretrained import load_tokenizer
from transmamba_mm.models.hf.recurrent_cache import with_states
from transmamba_mm.models.layouts.clip import ClipTextLayout
from transmamba_mm.models.layouts.decoder import DecoderLayout
from transmamba_mm.models.mixers.causal_mamba import build_causal_mamba
from transmamba_mm.registry import MODELS


class TextMixer(SwappedMixer):
    """A causal mixer in the place of an attention module of transformers."""

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Any = None,
        past_key_values: Cache | None = None,
        padding_mask: Tensor | None = None,
        cache: Cache | None = None,
        **kwargs: Any,
    ) -> Any:
        """Mix tokens (B, L, D) from left to right.

        Args:
            hidden_states (Tensor): (B, L, D).
            attention_mask: Of attention; not used.
            past_key_values (Cache, optional): ``cache`` by its name before transformers 5.24.
            padding_mask (Tensor, optional): (B, L or more), 0 for padding; the last L count.
            cache (Cache, optional): What came before; it is updated.
            **kwargs: Positions and the like, which have no meaning here.
        """
        cache = past_key_values if cache is None else cache
        run = self.mix if cache is None else self.mixer  # which is never to be run twice
        mixed = run(hidden_states, cache, padding_mask)
        self.tap(mixed[:, None])  # (B, 1, L, D)
        return self.output(mixed)


class CausalAttentionSwap(SwappedTransformer):
    """A text Transformer or language model whose attention is a causal Mamba.

    What :class:`~transmamba_mm.models.backbones.AttentionSwap` is for images: embeddings, norms and
    MLPs are the Transformer's, in some or all layers a mixer stands for attention. It is called as
    the Transformer is. A language model generates with transformers' own ``generate``: beside the
    keys and values of the layers that keep their attention, the cache has a convolution state and a
    scan state for each other layer, whose size does not grow with the text. Batches are padded on
    the left.

    ::

        CausalAttentionSwap(dict(type='ClipText', checkpoint='openai/clip-vit-base-patch32'))
        CausalAttentionSwap(dict(type='CausalLM', config=dict(...)), layers=[0, 1, 2, 4, 5, 6])

    Args:
        transformer (dict | nn.Module): ``ClipText`` or ``CausalLM``.
        layers (Sequence[int], optional): Layers that are swapped, counted from 0, or from the end;
            the others keep their attention (a hybrid). By default all.
        mixer (dict, optional): Options of
            :func:`~transmamba_mm.models.mixers.causal_mamba.build_causal_mamba`. By default the
            inner width is that of attention, projections have biases, and the convolution has no
            activation.
        start (str): How mixers start: 'values', see :meth:`CausalMamba.mix_values`, or 'mamba', as
            a new Mamba.
        with_cp (bool): See :meth:`set_grad_checkpointing`.
        init_cfg (dict, optional): See mmengine's ``BaseModule``.

    Raises:
        UserError: A Transformer that is not one of text; a layer that it does not have.
    """

    mixer_directions = 1
    #: Linear layer whose output is the logits of a language model.
    lm_head_path = 'transformer.lm_head'

    @checked(start=one_of(*STARTS), with_cp=FLAG)
    def __init__(
        self,
        transformer: dict | nn.Module,
        layers: Sequence[int] | None = None,
        mixer: dict | None = None,
        start: str = 'values',
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        built: Any = MODELS.build(transformer) if isinstance(transformer, dict) else transformer
        core = getattr(built, 'base_model', built)
        if not any(family.accepts(core) for family in (ClipTextLayout, DecoderLayout)):
            raise UserError(
                f'CausalAttentionSwap takes a Transformer of text, not a {type(built).__name__}: '
                'set transformer.type to ClipText or CausalLM; AttentionSwap takes those of images.'
            )
        built.is_init = True  # by its constructor, or its checkpoint
        super().__init__(built, layers, mixer, start, init_cfg)
        if self.swapped:
            hook = partial(with_states, layers=self.swapped)
            self.core.register_forward_pre_hook(hook, with_kwargs=True)
        self.set_grad_checkpointing(with_cp)

    def make_swap(self, layer: int, attention: Any, options: Mapping[str, Any]) -> TextMixer:
        """The causal mixer of a layer, in the dtype of its attention."""
        out = attention.o_proj if hasattr(attention, 'o_proj') else attention.out_proj
        sizes = self.layer_dims()[layer], out.in_features
        mixer = build_causal_mamba(*sizes, layer, len(self.layer_dims()), **options)
        return TextMixer(mixer.to(out.weight.dtype), attention)

    @property
    def core(self) -> Any:
        """The Transformer, of a language model without its head."""
        return self.transformer.base_model

    @property
    def core_path(self) -> str:
        """Path of :attr:`core`."""
        if self.core is self.transformer:
            return 'transformer'
        return f'transformer.{self.transformer.base_model_prefix}'

    def init_weights(self) -> None:
        """Initialize the mixers; everything else is as the Transformer was made or loaded."""
        if not self.is_init:
            self.init_mixers()
        super().init_weights()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the Transformer returns of its arguments, see transformers."""
        return self.transformer(*args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Next tokens of a language model; arguments and output are transformers'."""
        return self.transformer.generate(*args, **kwargs)

    @property
    def config(self) -> Any:
        """Of the Transformer."""
        return self.transformer.config

    @property
    def base_model(self) -> Any:
        """The core, by transformers' name."""
        return self.core

    def get_input_embeddings(self) -> nn.Module:
        """Word embeddings."""
        return self.transformer.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module | None:
        """Head of a language model; None of another."""
        return self.transformer.get_output_embeddings()

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer beside the checkpoint, padding on the left; UserError if there is none."""
        return load_tokenizer(self.config.name_or_path)

    def layer_grids(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """The grid (1, L) of each layer: ``size`` itself."""
        return self.layout.layer_grids(size)

    def directions(self, grid: tuple[int, int]) -> LongTensor:
        """The one traversal, left to right: (1, H * W)."""
        return torch.arange(grid[0] * grid[1])[None]

    def to_canonical(self, tokens: Any, grid: tuple[int, int]) -> tuple[Tensor, None]:
        """Tokens (B, L, D) as they are, and no cls token."""
        return self.layout.to_canonical(tokens, grid)

    def run_mixer(
        self, layer: int, patches: Tensor, cls: None, grid: None, mask: Tensor | None = None
    ) -> tuple[Tensor, None] | None:
        """What a swapped mixer makes of tokens (B, L, D); None where attention stayed."""
        if layer not in self.swapped:
            return None
        return self.swaps()[self.swapped.index(layer)].mixer(patches, None, mask), None
