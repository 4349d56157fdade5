from transmamba_mm.models.mixers.bidirectional_mamba import BidirectionalMamba
from transmamba_mm.models.mixers.direction_tap import DirectionTap, attach_tap
from transmamba_mm.models.mixers.snake_mamba import SnakeMamba, SnakePath
from transmamba_mm.models.mixers.ss2d import SS2D

__all__ = [
    'SS2D',
    'BidirectionalMamba',
    'DirectionTap',
    'SnakeMamba',
    'SnakePath',
    'attach_tap',
]
