from transmamba_mm.models.backbones.token_backbone import TokenBackbone
from transmamba_mm.models.backbones.vim import Vim

__all__ = ['TokenBackbone', 'Vim']
