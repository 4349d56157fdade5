import mmpretrain.models  # noqa: F401  (registers what our configs take from mmpretrain)

from transmamba_mm.models.backbones import TokenBackbone, Vim
from transmamba_mm.models.necks import LatentProjector

__all__ = ['LatentProjector', 'TokenBackbone', 'Vim']
