"""Count the floating-point operations of a call.

Matrix products, convolutions and attention are counted by :mod:`torch.utils.flop_counter`, a
product and a sum as two; what it does not know is added here: attention on a CPU, and the scan.
Elementwise work (norms, activations, gates, the depthwise convolution of a mixer) is counted for
nobody.

A scan with K directions, E channels and N states takes, for each of B * L tokens::

    decay = exp(delta * A)             2 K E N
    state = decay * state + dx * B     3 K E N      with dx = delta * x      K E
    y = sum_n C * state                2 K E N
    y += D * x                                                             2 K E

that is K E (7 N + 3) with a skip D. Its backward counts twice, as that of a matrix product does;
what is computed again to save memory does not count.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from transmamba_mm.ops.backends.select import BACKENDS

Shape = tuple[int, ...]


def scan_flops(x: Shape, delta: Shape, A: Shape, B: Shape, C: Shape, D: Shape | None, *rest) -> int:
    """Count a scan from the shapes of the operator's arguments; see ``ScanInputs``."""
    K, E, N = A
    return x[0] * x[-2] * K * E * (7 * N + 1 + (2 if D is not None else 0))


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
    """Run ``call`` and return the operations it took, by operator ('aten.mm', ...).

    It runs twice: a backend that is used for the first time checks itself, by scanning.
    """
    call()
    with FlopCounterMode(display=False, custom_mapping=_formulas()) as counter:
        call()
    return {str(name): count for name, count in counter.get_flop_counts()['Global'].items()}


def attention_kind(counts: dict[str, int]) -> str:
    """Name the attention among :func:`count_flops`' operators."""
    fused = [name for name in counts if 'attention' in name and 'backward' not in name]
    return ', '.join(fused) or 'matrix products and softmax'
