"""Mamba language models: transformers' checkpoints, tokenizer and generation on our scan."""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch import LongTensor, Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute
from transformers import MambaConfig, MambaForCausalLM
from transformers.cache_utils import Cache
from transformers.models.mamba.modeling_mamba import MambaBlock, MambaCausalLMOutput

from transmamba_mm.checks import check_one_given
from transmamba_mm.errors import UserError
from transmamba_mm.models.hf.mamba_cache import KEYWORD, take_cache
from transmamba_mm.models.hf.model_source import ModelSource, cast
from transmamba_mm.models.hf.pretrained import (
    build_described,
    generation_config,
    load_tokenizer,
    load_weights,
)
from transmamba_mm.models.layouts import TokenLayout
from transmamba_mm.models.mixers import attach_tap
from transmamba_mm.models.mixers.causal_mamba import CausalMamba
from transmamba_mm.models.norms import RMSNorm

#: What a checkpoint has to be.
MAMBA = {
    'noun': "a Mamba (model_type 'mamba'; Mamba-2 is another architecture)",
    'example': 'state-spaces/mamba-130m-hf',
}


class StreamRMSNorm(RMSNorm):
    """RMSNorm in the dtype of the residual stream, which is wider than half-precision weights."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (..., D)."""
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class CausalBlock(MambaBlock):
    """``h + mixer(norm(h))`` with our mixer, honest in float64.

    Transformers casts the residual stream, its norms and its logits *down* to float32 in a float64
    model; here float32 is only a lower bound.
    """

    def __init__(self, config: MambaConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.norm = RMSNorm(config.hidden_size, config.layer_norm_epsilon)
        self.mixer = CausalMamba(config, layer_idx)
        self.with_cp = False
        attach_tap(self)

    def __call__(
        self,
        hidden_states: Tensor,
        cache: Cache | None = None,
        attention_mask: Tensor | None = None,
        *,
        cache_params: Cache | None = None,
    ) -> Tensor:
        """Take the cache under either name of transformers, and pass everything by position.

        The activation checkpointing of mmengine takes no keywords.
        """
        cache = take_cache(cache, cache_params, {})
        return super().__call__(hidden_states, cache, attention_mask)

    def forward(
        self,
        hidden_states: Tensor,
        cache: Cache | None = None,
        attention_mask: Tensor | None = None,
        keep_directions: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Residual stream (B, L, D) in and out; on request with its one direction (B, 1, L, D)."""
        args = hidden_states, cache, attention_mask, keep_directions
        if self.with_cp and self.training and cache is None:
            return recompute(self.mix, *args, use_reentrant=False)
        return self.mix(*args)

    def mix(
        self,
        hidden_states: Tensor,
        cache: Cache | None,
        attention_mask: Tensor | None,
        keep_directions: bool,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Add the mixer's output on the normalized stream."""
        mixed = self.mixer(
            self.norm(hidden_states.to(self.norm.weight.dtype)), cache, attention_mask
        )
        if self.residual_in_fp32:
            hidden_states = hidden_states.to(
                torch.promote_types(hidden_states.dtype, torch.float32)
            )
        hidden_states = hidden_states + mixed
        return (hidden_states, mixed[:, None]) if keep_directions else hidden_states


class MambaLM(MambaForCausalLM, TokenLayout):
    """A Mamba language model with transformers' interface and our scan.

    It *is* a ``MambaForCausalLM``: ``generate`` (greedy, sampling, beams), ``save_pretrained``,
    gradient checkpointing and the cache are transformers' own, and ``state_dict()`` has its keys,
    so that either side loads what the other saved. Only the blocks differ.

    Batches are padded on the left (``tokenizer`` does so): an ``attention_mask`` with zeros there
    gives every sequence the answer it has alone. In a right-padded training batch the real tokens
    are right too, but nothing can be generated after padding.

    Layers follow the interface of :class:`~transmamba_mm.models.backbones.TokenBackbone`; the grid
    of L tokens is (1, L), there is one direction and no cls token.

    Args:
        config (MambaConfig | dict, optional): Of a new model; a dict has ``MambaConfig``'s keys,
            and perhaps ``bc_from='hidden'``, see :class:`CausalMamba`.
        checkpoint (str | Path, optional): Instead, a folder of ``save_pretrained`` or a name on
            the hub (``state-spaces/mamba-130m-hf``); read without running code. The format of
            mamba_ssm is read by :func:`transmamba_mm.convert.build_from_official`.
        dtype (str | torch.dtype, optional): By default float32 for a new model, the checkpoint's
            own otherwise.
        weights (bool): False: of ``checkpoint`` only the architecture and the tokenizer are read;
            the weights are about to be loaded from elsewhere.
        with_cp (bool): Recompute every block in the backward pass of a training, instead of
            keeping what it computes inside.

    Raises:
        UserError: Both or none of ``config`` and ``checkpoint``; unknown keys of ``config``; a
            checkpoint that is missing, incomplete or of another architecture.
    """

    _no_split_modules = ['CausalBlock']
    #: Linear layer whose output is the logits.
    lm_head_path = 'lm_head'
    #: As in mmengine's ``BaseModule``: a model around this one leaves it as it is.
    is_init = False

    def __init__(
        self,
        config: MambaConfig | dict[str, Any] | None = None,
        checkpoint: str | Path | None = None,
        dtype: str | torch.dtype | None = None,
        weights: bool = True,
        with_cp: bool = False,
    ) -> None:
        kinds = {MambaConfig.model_type: type(self)}
        source = ModelSource('MambaLM', kinds, config, checkpoint, **MAMBA)
        if checkpoint is None:
            self._build(source.config(ours=['bc_from']))
        elif weights:
            self._load(checkpoint, dtype)
        else:
            build_described(checkpoint, self._build, source.config())
            self.generation_config = generation_config(checkpoint) or self.generation_config
            dtype = dtype or self.config.dtype
        cast(self, dtype)
        if with_cp:
            self.set_grad_checkpointing()

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute every block in the backward pass, or stop doing so; by timm's name."""
        for block in self.backbone.layers:
            block.with_cp = enable

    def _load(self, checkpoint: str | Path, dtype: str | torch.dtype | None) -> None:
        loaded = load_weights(type(self), checkpoint, dtype)
        with torch.device('meta'):
            self._build(loaded.config)
        self.load_state_dict(loaded.state_dict(), assign=True)
        self.tie_weights()
        self.generation_config = loaded.generation_config
        self.eval()

    def _build(self, config: MambaConfig) -> None:
        super().__init__(config)
        theirs = set(self.state_dict())
        self.loss_type = 'ForCausalLM'
        self.backbone.layers = nn.ModuleList(
            CausalBlock(config, i) for i in range(config.num_hidden_layers)
        )
        self.backbone.norm_f = StreamRMSNorm(config.hidden_size, config.layer_norm_epsilon)
        _check_keys(theirs, set(self.state_dict()))
        self.post_init()
        self.is_init = True

    def init_weights(self) -> None:
        """Initialize a new model, once: that of its constructor, or of its checkpoint, stays."""
        if not self.is_init:
            super().init_weights()

    def forward(
        self,
        input_ids: LongTensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cache: Cache | None = None,
        labels: LongTensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        cache_params: Cache | None = None,
        **kwargs,
    ) -> MambaCausalLMOutput | tuple:
        """Predict the next token at every place; arguments as in transformers.

        Args:
            input_ids (LongTensor, optional): (B, L) tokens.
            attention_mask (Tensor, optional): (B, L), 0 for padding on the left.
            inputs_embeds (Tensor, optional): (B, L, D) instead of ``input_ids``.
            cache (Cache, optional): What came before, from an earlier output.
            labels (LongTensor, optional): (B, L), shifted here; -100 is ignored.
            output_hidden_states (bool, optional): Give the output of every block, then of the last
                norm.
            return_dict (bool, optional): A tuple when False.
            use_cache (bool, optional): Return the cache; by default not in training.
            logits_to_keep (int | Tensor): The last places, or their indices; 0 for all.
            cache_params (Cache, optional): ``cache`` by its name before transformers 5.24.
            **kwargs: For the loss.

        Returns:
            MambaCausalLMOutput: ``logits`` (B, L, vocabulary) in float32 or wider, ``loss`` where
            there are labels, the cache (``cache_params``, from transformers 5.24 on ``cache``),
            ``hidden_states``.

        Raises:
            UserError: Both or none of ``input_ids`` and ``inputs_embeds``, a mask that does not
                fit them, or a cache under both names or another one.
        """
        check_one_given('MambaLM', input_ids=input_ids, inputs_embeds=inputs_embeds)
        tokens = input_ids if inputs_embeds is None else inputs_embeds
        cache = take_cache(cache, cache_params, kwargs)
        _check_mask(attention_mask, tokens, cache)
        features = self.backbone(
            input_ids,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            attention_mask=attention_mask,
            return_dict=True,
            **{KEYWORD: cache},
        )
        hidden = features.last_hidden_state
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(hidden[:, kept].to(self.lm_head.weight.dtype))
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs
            )
        output = MambaCausalLMOutput(
            loss, logits, getattr(features, KEYWORD), features.hidden_states
        )
        as_dict = self.config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()

    def save_pretrained(self, save_directory: str | Path, **kwargs) -> None:
        """Save as transformers does, under the name of its own class, for other tools.

        With ``bc_from='hidden'`` the name is ours: transformers' class has no such weights.
        """
        super().save_pretrained(save_directory, **kwargs)
        if getattr(self.config, 'bc_from', 'scanned') == 'scanned':
            self.config.architectures = ['MambaForCausalLM']
        self.config.save_pretrained(save_directory)

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer beside the checkpoint, padding on the left; UserError if there is none."""
        return load_tokenizer(self.config.name_or_path)

    @property
    def num_layers(self) -> int:
        """Number of blocks."""
        return self.config.num_hidden_layers

    @property
    def embed_dims(self) -> int:
        """Width D of the residual stream."""
        return self.config.hidden_size

    def layer_paths(self) -> list[str]:
        """Modules, in depth order, whose output is the residual stream (B, L, D)."""
        return [f'backbone.layers.{i}' for i in range(self.num_layers)]

    def direction_paths(self) -> list[str]:
        """Modules, one per layer, whose output is the direction feature (B, 1, L, D)."""
        return [f'{path}.tap' for path in self.layer_paths()]

    def mixer_paths(self) -> list[str]:
        """The scan of each layer, with its projections."""
        return [f'{path}.mixer' for path in self.layer_paths()]

    def run_mixer(
        self, layer: int, patches: Tensor, cls: None, grid: None, mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """What the mixer of a layer makes of tokens (B, L, D)."""
        return self.backbone.layers[layer].mixer(patches, None, mask), None

    @property
    def num_directions(self) -> int:
        """One: left to right."""
        return 1

    def layer_dims(self) -> list[int]:
        """Width of each layer's feature."""
        return [self.embed_dims] * self.num_layers

    def layer_grids(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """The grid (1, L) of each layer: ``size`` itself, no token is merged or dropped."""
        return [size] * self.num_layers

    def directions(self, grid: tuple[int, int]) -> LongTensor:
        """The one traversal, left to right: (1, H * W)."""
        return torch.arange(grid[0] * grid[1])[None]

    def to_canonical(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, None]:
        """Tokens (B, L, D) as they are, and no cls token."""
        return tokens, None


def _check_keys(theirs: set[str], ours: set[str]) -> None:
    """UserError unless our blocks replaced transformers' own; only B_proj and C_proj are new."""
    ours = {key for key in ours if key.split('.')[-2] not in ('B_proj', 'C_proj')}
    if ours != theirs:
        raise UserError(
            f'transformers {transformers.__version__} names the weights of a Mamba differently, at '
            f'{", ".join(sorted(ours ^ theirs)[:4])}: install transformers 5.20 to 5.24.'
        )


def _check_mask(mask: Tensor | None, tokens: Tensor, cache: Cache | None) -> None:
    """UserError unless ``mask`` is (B, L), or (B, cached + L) when going on from a cache."""
    if mask is None:
        return
    (batch, length), shape = tokens.shape[:2], tuple(mask.shape)
    longer_is_fine = cache is not None and len(shape) == 2 and shape[1] > length
    if shape != (batch, length) and not (longer_is_fine and shape[0] == batch):
        raise UserError(
            f'attention_mask has shape {shape}, but there are {length} tokens in each of {batch} '
            'sequences: give one entry per token, 1 for real ones and 0 for padding on the left.'
        )
