"""One file per teacher family; adapters register themselves by definition."""

from importlib import import_module
from pkgutil import iter_modules

from transmamba_mm.models.layouts.base import AdapterLayout, TokenLayout, count_stages, layout_of
from transmamba_mm.models.layouts.feature_source import CallInputs, FeatureSource
from transmamba_mm.models.layouts.layer_part import LayerPart, MLPPaths

for _module in iter_modules(__path__):
    import_module(f'{__name__}.{_module.name}')

__all__ = [
    'AdapterLayout',
    'CallInputs',
    'FeatureSource',
    'LayerPart',
    'MLPPaths',
    'TokenLayout',
    'count_stages',
    'layout_of',
]
