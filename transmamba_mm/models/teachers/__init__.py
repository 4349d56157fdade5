from transmamba_mm.models.teachers.token_layout import VisionTransformerLayout, token_layout

__all__ = ['VisionTransformerLayout', 'token_layout']
