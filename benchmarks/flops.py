"""Count the floating-point operations of a call.

Matrix products, convolutions and attention are counted by :mod:`torch.utils.flop_counter`, a
product and a sum as two; missing operators are added here: attention on a CPU, and the scan.
Elementwise work (norms, activations, gates, the depthwise convolution of a mixer) is counted for
nobody.

The backward of a scan counts twice, as that of a matrix product does; what is computed again to
save memory does not count.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from transmamba_mm.ops.backends.select import BACKENDS
from transmamba_mm.ops.flops import Shape, scan_flops


def _forward(*arguments: Any, out_shape: Any = None, **_: Any) -> int:
    return scan_flops(*arguments)


def _backward(dy: Any, dlast: Any, states: Any, *arguments: Any, out_shape: Any = None) -> int:
    return 2 * scan_flops(*arguments)


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, out_shape: Any = None, **__) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(dy: Shape, *shapes: Any, out_shape: Any = None, **_: Any) -> int:
    return sdpa_backward_flop_count(dy, *shapes[:3])


def _formulas() -> dict[Any, Callable[..., int]]:
    aten, ours = torch.ops.aten, torch.ops.transmamba_mm
    formulas: dict[Any, Callable[..., int]] = {
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    }
    for name in BACKENDS['scan']:
        if hasattr(ours, f'scan_{name}'):  # the reference is plain torch
            formulas[getattr(ours, f'scan_{name}')] = _forward
            formulas[getattr(ours, f'scan_{name}_backward')] = _backward
    return formulas


def count_flops(call: Callable[[], object]) -> dict[str, int]:
    """Run ``call`` and return the operations it took, by operator ('aten.mm', ...)."""
    with FlopCounterMode(display=False, custom_mapping=_formulas()) as counter:
        call()
    return {str(name): count for name, count in counter.get_flop_counts()['Global'].items()}


def attention_kind(counts: dict[str, int]) -> str:
    """Name the attention among :func:`count_flops`' operators."""
    fused = [name for name in counts if 'attention' in name and 'backward' not in name]
    return ', '.join(fused) or 'matrix products and softmax'
