"""Our operators in mmengine's FLOP counter: ``get_model_complexity_info``, mmpretrain's get_flops.

It counts a convolution and a linear layer in products, one for a multiplication and its addition;
a scan is counted as :func:`transmamba_mm.ops.flops.scan_flops` does, every operation.
"""

from typing import Any

from mmengine.analysis import complexity_analysis
from mmengine.analysis.jit_handles import generic_activation_jit, get_shape

from transmamba_mm.compat import internal
from transmamba_mm.ops.backends.select import BACKENDS
from transmamba_mm.ops.flops import conv_macs, scan_flops


def _scan(inputs: list[Any], outputs: list[Any]) -> int:
    return scan_flops(*map(get_shape, inputs[:6]))


def _conv(inputs: list[Any], outputs: list[Any]) -> int:
    return conv_macs(*map(get_shape, inputs[:2]))


# get_model_complexity_info takes no handles of its own.
internal(complexity_analysis, '_DEFAULT_SUPPORTED_FLOP_OPS').update(
    {f'transmamba_mm::scan_{name}': _scan for name in BACKENDS['scan']}
    | {'transmamba_mm::conv_cpp': _conv}
)
internal(complexity_analysis, '_DEFAULT_SUPPORTED_ACT_OPS')['transmamba_mm::conv_cpp'] = (
    generic_activation_jit()
)
