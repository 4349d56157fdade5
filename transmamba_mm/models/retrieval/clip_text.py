"""CLIP's text Transformer, to keep the words of a teacher."""

from pathlib import Path
from typing import Any

import torch

from transmamba_mm.errors import UserError
from transmamba_mm.registry import MODELS


@MODELS.register_module(name='ClipText')
def build_clip_text(
    config: dict | None = None,
    checkpoint: str | Path | None = None,
    dtype: str | torch.dtype | None = 'float32',
) -> Any:
    """Build transformers' ``CLIPTextModel`` (arXiv 2103.00020).

    Args:
        config (dict, optional): Of a new model: the keys of ``CLIPTextConfig``.
        checkpoint (str | Path, optional): Instead, a folder of ``save_pretrained`` or a name on the
            hub (``openai/clip-vit-base-patch32``), of a whole CLIP too; read without running code.
        dtype (str | torch.dtype, optional): By default float32; None is the checkpoint's own.

    Raises:
        UserError: Both or none of ``config`` and ``checkpoint``; unknown keys of ``config``; a
            checkpoint that is missing or of another architecture.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    if (config is None) == (checkpoint is None):
        raise UserError('ClipText needs config (a new model) or checkpoint, one of them.')
    if checkpoint is not None:
        return _load(checkpoint, dtype)
    known = CLIPTextConfig().to_dict()
    if unknown := sorted(set(config) - set(known)):
        raise UserError(f'ClipText has no config {", ".join(unknown)}; it has {sorted(known)}.')
    model = CLIPTextModel(CLIPTextConfig(**config))
    return model if dtype is None else model.to(getattr(torch, dtype, dtype))


def _load(checkpoint: str | Path, dtype: Any) -> Any:
    from transformers import CLIPModel, CLIPTextModel

    from transmamba_mm.models.language.pretrained import load_weights, read_config

    kind = read_config(checkpoint).get('model_type')
    if kind == 'clip':
        model = load_weights(CLIPModel, checkpoint, dtype).text_model
    elif kind == 'clip_text_model':
        model = load_weights(CLIPTextModel, checkpoint, dtype)
    else:
        raise UserError(
            f'{checkpoint} is a model of type {kind!r}, not a CLIP: choose a checkpoint such as '
            'openai/clip-vit-base-patch32.'
        )
    model.config._name_or_path = str(checkpoint)  # where its tokenizer is
    for module in model.modules():  # or the init_weights of a model around this one starts anew
        module._is_hf_initialized = True
    return model
