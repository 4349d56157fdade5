"""Mixed precision on a CPU, where mmengine's ``AmpOptimWrapper`` refuses to run."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from transmamba_mm.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """An ``OptimWrapper`` whose forward runs under bfloat16 autocast.

    bfloat16 has float32's range, so losses are not scaled. Scans stay in float32, as under every
    autocast.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast what mmengine runs in this context, the forward."""
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield
