from transmamba_mm.compat import import_mmpretrain_quietly

import_mmpretrain_quietly()  # registers what our configs take from mmpretrain

from transmamba_mm.models.backbones import TokenBackbone, Vim  # noqa: E402
from transmamba_mm.models.necks import LatentProjector  # noqa: E402

__all__ = ['LatentProjector', 'TokenBackbone', 'Vim']
