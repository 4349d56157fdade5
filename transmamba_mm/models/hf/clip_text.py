"""CLIP's text Transformer, to keep a teacher's text encoder."""

from pathlib import Path
from typing import Any

import torch

from transmamba_mm.registry import MODELS


@MODELS.register_module(name='ClipText')
def build_clip_text(
    config: dict | None = None,
    checkpoint: str | Path | None = None,
    dtype: str | torch.dtype | None = 'float32',
    weights: bool = True,
) -> Any:
    """Build transformers' ``CLIPTextModel`` (arXiv 2103.00020).

    Args:
        config (dict, optional): Of a new model: the keys of ``CLIPTextConfig``.
        checkpoint (str | Path, optional): Instead, a folder of ``save_pretrained`` or a name on the
            hub (``openai/clip-vit-base-patch32``), of a whole CLIP too; read without running code.
        dtype (str | torch.dtype, optional): By default float32; None is the checkpoint's own.
        weights (bool): False: of ``checkpoint`` only the architecture and the tokenizer are read;
            the weights are about to be loaded from elsewhere.

    Raises:
        UserError: Both or none of ``config`` and ``checkpoint``; unknown keys of ``config``; a
            checkpoint that is missing or of another architecture.
    """
    from transformers import CLIPModel, CLIPTextModel

    from transmamba_mm.models.hf.model_source import CLIP, ModelSource

    kinds = {'clip_text_model': CLIPTextModel, 'clip': CLIPModel}
    source = ModelSource('ClipText', kinds, config, checkpoint, **CLIP)
    model = source.build(dtype, weights)
    if model.config.model_type == 'clip':
        model = model.text_model
    if checkpoint is not None:
        model.config.name_or_path = str(checkpoint)  # where its tokenizer is
        model.is_init = True  # or the init_weights of a parent model would reinitialize it
    return model
