from transmamba_mm.models.necks.latent_projector import LatentProjector

__all__ = ['LatentProjector']
