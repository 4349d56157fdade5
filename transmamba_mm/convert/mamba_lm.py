"""The checkpoint format of state-spaces/mamba (mamba_ssm) for language models, both ways.

It differs from transformers', which is ours, in one key. Transformers' own spelling is accepted as
it is.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from transmamba_mm.convert.shapes import numbers, require
from transmamba_mm.errors import UserError
from transmamba_mm.key_map import KeyMap
from transmamba_mm.registry import MODELS

EMBEDDINGS, HEAD = 'backbone.embeddings.weight', 'lm_head.weight'
LAYER = 'backbone.layers.#'
SAME = (
    *(HEAD, 'backbone.norm_f.weight', f'{LAYER}.norm.weight'),
    *(f'{LAYER}.mixer.{name}' for name in ('A_log', 'D', 'x_proj.weight', 'dt_proj')),
    *(f'{LAYER}.mixer.{name}' for name in ('in_proj', 'out_proj', 'conv1d')),
)
NAMES = KeyMap({'backbone.embedding.weight': EMBEDDINGS, **{name: name for name in SAME}})
HINT = 'Mamba-2, LayerNorm and attention layers are not supported.'
#: ``MambaConfig``'s names for the keys of the official config.json, and of its ``ssm_cfg``.
CONFIG_KEYS = {
    'd_model': 'hidden_size',
    'n_layer': 'num_hidden_layers',
    'vocab_size': 'vocab_size',
    'residual_in_fp32': 'residual_in_fp32',
    'tie_embeddings': 'tie_word_embeddings',
    'norm_epsilon': 'layer_norm_epsilon',
}
SSM_KEYS = {
    'd_state': 'state_size',
    'd_conv': 'conv_kernel',
    'expand': 'expand',
    'dt_rank': 'time_step_rank',
    'bias': 'use_bias',
    'conv_bias': 'use_conv_bias',
    'dt_min': 'time_step_min',
    'dt_max': 'time_step_max',
    'dt_init': 'time_step_init_scheme',
    'dt_scale': 'time_step_scale',
    'dt_init_floor': 'time_step_floor',
}
# Keys of other configs that are accepted with these values only.
FIXED = {'rms_norm': True, 'd_intermediate': 0, 'attn_layer_idx': [], 'attn_cfg': {}}
# They choose a kernel, not a model.
IGNORED = {'fused_add_norm', 'use_fast_path', 'layer'}


def from_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our spelling (transformers') of an official state dict; a tied head may be left out.

    Raises:
        UserError: Keys that a Mamba language model does not have, by name.
    """
    official = NAMES.inverse().rename(state_dict)  # where transformers' spelling is given
    ours = NAMES.rename_all(official, "a Mamba language model's", HINT)
    if EMBEDDINGS in ours:
        ours.setdefault(HEAD, ours[EMBEDDINGS])
    return ours


def to_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official spelling of the state dict of our ``MambaLM``.

    Raises:
        UserError: Keys that a Mamba language model does not have, by name.
    """
    return NAMES.inverse().rename_all(state_dict, "our Mamba language model's", HINT)


def build(state_dict: Mapping[str, Tensor], img_size: None = None, **overrides) -> nn.Module:
    """Build the ``MambaLM`` a state dict in our names was made for, without its weights.

    Args:
        state_dict (Mapping[str, Tensor]): What :func:`from_official` returned.
        img_size (None): A language model reads no images.
        **overrides: Arguments that weights do not determine, by ``MambaConfig``'s names or those of
            the official config.json (its contents may be given whole).

    Raises:
        UserError: A tensor that determines the sizes is missing; an image size;
            overrides that ask for another architecture.
    """
    if img_size is not None:
        raise UserError(f'img_size={img_size} is given, but a language model reads no images.')
    return MODELS.build(
        {
            'type': 'transmamba_mm.MambaLM',
            'config': {**infer_config(state_dict), **translate_config(overrides)},
        }
    )


def infer_config(state_dict: Mapping[str, Tensor]) -> dict[str, Any]:
    """Infer ``MambaConfig`` arguments from keys and shapes."""
    mixer = 'backbone.layers.0.mixer.'
    required = [
        EMBEDDINGS,
        *(mixer + name for name in ('A_log', 'conv1d.weight', 'dt_proj.weight')),
    ]
    require(state_dict, required, 'Mamba language model')
    vocabulary, embed_dims = state_dict[EMBEDDINGS].shape
    inner_dims, state_dims = state_dict[mixer + 'A_log'].shape
    if inner_dims % embed_dims:
        raise UserError(
            f'The inner width {inner_dims} (A_log) is no multiple of the width {embed_dims} of the '
            'embeddings: the checkpoint mixes two models.'
        )
    return {
        'vocab_size': vocabulary,
        'hidden_size': embed_dims,
        'num_hidden_layers': max(numbers(state_dict, f'{LAYER}.')) + 1,
        'state_size': state_dims,
        'expand': inner_dims // embed_dims,
        'conv_kernel': state_dict[mixer + 'conv1d.weight'].shape[-1],
        'time_step_rank': state_dict[mixer + 'dt_proj.weight'].shape[1],
        'use_bias': mixer + 'in_proj.bias' in state_dict,
        'use_conv_bias': mixer + 'conv1d.bias' in state_dict,
        'tie_word_embeddings': torch.equal(state_dict[EMBEDDINGS], state_dict[HEAD]),
    }


def translate_config(official: Mapping[str, Any]) -> dict[str, Any]:
    """``MambaConfig`` arguments for those of mamba_ssm's config.json; others stay as they are.

    Raises:
        UserError: What transformers' Mamba has no counterpart for (Mamba-2, LayerNorm, attention or
            MLP layers).
    """
    settings = {**official, **(official.get('ssm_cfg') or {})}
    settings.pop('ssm_cfg', None)
    foreign = [
        f'{key}={settings[key]!r}'
        for key, value in {**FIXED, 'layer': 'Mamba1'}.items()
        if settings.get(key, value) != value
    ]
    if foreign:
        raise UserError(
            f'The checkpoint is no plain Mamba: {", ".join(foreign)}. Mamba-2, LayerNorm, '
            'attention and MLP layers are not supported.'
        )
    multiple = settings.pop('pad_vocab_size_multiple', 1)
    if 'vocab_size' in settings:
        settings['vocab_size'] = -(-settings['vocab_size'] // multiple) * multiple
    names = {**CONFIG_KEYS, **SSM_KEYS}
    return {
        names.get(key, key): value
        for key, value in settings.items()
        if key not in FIXED and key not in IGNORED
    }
