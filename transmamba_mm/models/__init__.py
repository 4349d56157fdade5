import mmpretrain.models  # noqa: F401  (registers what our configs take from mmpretrain)

from transmamba_mm.models.backbones import TokenBackbone, Vim, VMamba
from transmamba_mm.models.necks import LatentProjector

__all__ = ['LatentProjector', 'TokenBackbone', 'VMamba', 'Vim']
