from transmamba_mm.datasets.digits import Digits
from transmamba_mm.datasets.random_affine import RandomAffine

__all__ = ['Digits', 'RandomAffine']
