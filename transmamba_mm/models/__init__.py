from typing import Any

import mmpretrain.models  # noqa: F401  (registers what our configs take from mmpretrain)

import transmamba_mm.models.flop_handles  # noqa: F401  (counts what is registered here)
from transmamba_mm.models import hf
from transmamba_mm.models.backbones import PlainMamba, TokenBackbone, VideoMamba, Vim, VMamba
from transmamba_mm.models.hf import (
    build_causal_attention_swap,
    build_causal_lm,
    build_mamba_lm,
)
from transmamba_mm.models.necks import CrossMamba, LatentProjector
from transmamba_mm.models.retrieval import Clip4ClipTeacher, VideoTextRetriever, build_clip_text
from transmamba_mm.models.video_data_preprocessor import VideoDataPreprocessor
from transmamba_mm.models.vqa import LlavaTeacher, MambaVQA


def __getattr__(name: str) -> Any:
    if name not in hf.CLASSES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(hf, name)  # imports transformers' modeling code


__all__ = [
    'CausalAttentionSwap',
    'Clip4ClipTeacher',
    'CrossMamba',
    'LatentProjector',
    'LlavaTeacher',
    'MambaLM',
    'MambaVQA',
    'PlainMamba',
    'TokenBackbone',
    'VMamba',
    'VideoDataPreprocessor',
    'VideoMamba',
    'VideoTextRetriever',
    'Vim',
    'build_causal_attention_swap',
    'build_causal_lm',
    'build_clip_text',
    'build_mamba_lm',
]
