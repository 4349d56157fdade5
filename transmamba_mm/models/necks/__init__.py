from transmamba_mm.models.necks.cross_mamba import CrossMamba
from transmamba_mm.models.necks.latent_projector import LatentProjector

__all__ = ['CrossMamba', 'LatentProjector']
