from typing import Any

import mmpretrain.models  # noqa: F401  (registers what our configs take from mmpretrain)

import transmamba_mm.models.flop_handles  # noqa: F401  (counts what is registered here)
from transmamba_mm.models.backbones import PlainMamba, TokenBackbone, VideoMamba, Vim, VMamba
from transmamba_mm.models.hf import build_mamba_lm
from transmamba_mm.models.necks import CrossMamba, LatentProjector
from transmamba_mm.models.retrieval import Clip4ClipTeacher, VideoTextRetriever, build_clip_text
from transmamba_mm.models.video_data_preprocessor import VideoDataPreprocessor
from transmamba_mm.models.vqa import LlavaTeacher, MambaVQA


def __getattr__(name: str) -> Any:
    if name != 'MambaLM':
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from transmamba_mm.models.hf import MambaLM  # imports transformers' modeling code

    return MambaLM


__all__ = [
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
    'build_clip_text',
    'build_mamba_lm',
]
