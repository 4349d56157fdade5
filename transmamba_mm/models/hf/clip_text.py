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
    from transformers import CLIPTextConfig

    from transmamba_mm.models.hf.hf_config import build_config

    if (config is None) == (checkpoint is None):
        raise UserError('ClipText needs config (a new model) or checkpoint, one of them.')
    if checkpoint is not None:
        return (_load if weights else _load_architecture)(checkpoint, dtype)
    return _build(build_config('ClipText', CLIPTextConfig, config), dtype)


def _build(config: Any, dtype: Any) -> Any:
    from transformers import CLIPTextModel

    model = CLIPTextModel(config)
    if dtype is None:
        return model
    return model.to(getattr(torch, dtype) if isinstance(dtype, str) else dtype)


def _load(checkpoint: str | Path, dtype: Any) -> Any:
    from transformers import CLIPModel, CLIPTextModel

    from transmamba_mm.models.hf.pretrained import load_weights

    if _read(checkpoint)['model_type'] == 'clip':
        model = load_weights(CLIPModel, checkpoint, dtype).text_model
    else:
        model = load_weights(CLIPTextModel, checkpoint, dtype)
    model.config.name_or_path = str(checkpoint)  # where its tokenizer is
    model.is_init = True  # or the init_weights of a model around this one starts anew
    return model


def _load_architecture(checkpoint: str | Path, dtype: Any) -> Any:
    from transformers import CLIPConfig, CLIPTextConfig

    from transmamba_mm.models.hf.pretrained import build_described

    config = _read(checkpoint)
    if config['model_type'] == 'clip':
        described = build_described(checkpoint, CLIPConfig.from_dict, config).text_config
    else:
        described = build_described(checkpoint, CLIPTextConfig.from_dict, config)
    model = build_described(checkpoint, _build, described, dtype)
    model.config.name_or_path = str(checkpoint)
    return model


def _read(checkpoint: str | Path) -> dict[str, Any]:
    """config.json of a CLIP or of its text model; UserError of any other."""
    from transmamba_mm.models.hf.pretrained import read_config

    config = read_config(checkpoint)
    kind = config.get('model_type')
    if kind not in ('clip', 'clip_text_model'):
        raise UserError(
            f'{checkpoint} is a model of type {kind!r}, not a CLIP: choose a checkpoint such as '
            'openai/clip-vit-base-patch32.'
        )
    return config
