import mmpretrain.models  # noqa: F401  (registers what our configs take from mmpretrain)

from transmamba_mm.models.backbones import TokenBackbone, Vim

__all__ = ['TokenBackbone', 'Vim']
