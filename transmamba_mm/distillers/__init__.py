from transmamba_mm.distillers.base import BaseDistiller
from transmamba_mm.distillers.cab import CAB
from transmamba_mm.distillers.feature_distiller import FeatureDistiller
from transmamba_mm.distillers.fitnets import FitNets
from transmamba_mm.distillers.logits import LogitsDistiller
from transmamba_mm.distillers.mixer_alignment import MixerAlignment
from transmamba_mm.distillers.ofa import OFA
from transmamba_mm.distillers.wsab import WSAB

__all__ = [
    'CAB',
    'OFA',
    'WSAB',
    'BaseDistiller',
    'FeatureDistiller',
    'FitNets',
    'LogitsDistiller',
    'MixerAlignment',
]
