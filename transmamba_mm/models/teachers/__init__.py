from transmamba_mm.models.teachers.swin_layout import SwinLayout
from transmamba_mm.models.teachers.token_layout import VisionTransformerLayout, token_layout

__all__ = ['SwinLayout', 'VisionTransformerLayout', 'token_layout']
