from transmamba_mm.models.backbones.attention_swap import AttentionSwap
from transmamba_mm.models.backbones.plainmamba import PlainMamba
from transmamba_mm.models.backbones.register_vit import RegisterVisionTransformer
from transmamba_mm.models.backbones.token_backbone import TokenBackbone
from transmamba_mm.models.backbones.videomamba import VideoMamba
from transmamba_mm.models.backbones.vim import Vim
from transmamba_mm.models.backbones.vmamba import VMamba
from transmamba_mm.models.hf.clip_vision import ClipVision

__all__ = [
    'AttentionSwap',
    'ClipVision',
    'PlainMamba',
    'RegisterVisionTransformer',
    'TokenBackbone',
    'VMamba',
    'VideoMamba',
    'Vim',
]
