from transmamba_mm.models.necks.cross_mamba import CrossMamba
from transmamba_mm.models.necks.latent_projector import LatentProjector
from transmamba_mm.models.necks.token_pooling import AttentionPooling, TokenPooling

__all__ = ['AttentionPooling', 'CrossMamba', 'LatentProjector', 'TokenPooling']
