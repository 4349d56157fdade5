from transmamba_mm.models.mixers.bidirectional_mamba import BidirectionalMamba
from transmamba_mm.models.mixers.direction_tap import DirectionTap

__all__ = ['BidirectionalMamba', 'DirectionTap']
