"""Log the loss of the whole batch, not of the first process's share."""

import torch
from mmengine.dist import all_reduce_dict
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from transmamba_mm.registry import HOOKS


@HOOKS.register_module()
class MeanLossHook(Hook):
    """Replaces what a training step logs by its mean over all processes.

    mmengine trains on the mean of all gradients, but logs what the first process alone computed. It
    acts before the hook that takes the values to the log; the price is one small message a step.
    """

    priority = 'HIGHEST'

    @torch.no_grad()
    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: dict | None = None
    ) -> None:
        """Replace the values, of which all processes have the same."""
        values = {key: value for key, value in (outputs or {}).items() if isinstance(value, Tensor)}
        if values:
            all_reduce_dict(values, op='mean')
            outputs.update(values)
