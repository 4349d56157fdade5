"""Pure functions on tensors; the scan's implementations are in :mod:`.backends`."""

from transmamba_mm.ops.causal_conv1d import causal_conv1d
from transmamba_mm.ops.directional_conv1d import directional_conv1d
from transmamba_mm.ops.directional_scan import directional_scan
from transmamba_mm.ops.scan_order import (
    arrival_moves,
    bidirectional_order,
    cross_order,
    invert_order,
    snake_order,
)
from transmamba_mm.ops.selective_scan import selective_scan

__all__ = [
    'arrival_moves',
    'bidirectional_order',
    'causal_conv1d',
    'cross_order',
    'directional_conv1d',
    'directional_scan',
    'invert_order',
    'selective_scan',
    'snake_order',
]
