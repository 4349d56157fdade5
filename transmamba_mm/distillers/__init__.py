from transmamba_mm.distillers.base import BaseDistiller
from transmamba_mm.distillers.logits import LogitsDistiller
from transmamba_mm.distillers.wsab import WSAB

__all__ = ['WSAB', 'BaseDistiller', 'LogitsDistiller']
