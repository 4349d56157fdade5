"""Log the loss of the whole batch, not of the first process's share."""

import zlib
from collections.abc import Iterable

import torch
from mmengine.dist import all_gather, all_gather_object, all_reduce_dict
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.registry import HOOKS


@HOOKS.register_module()
class MeanLossHook(Hook):
    """Replaces the logged values of a training step by their mean over all processes.

    mmengine trains on the mean of all gradients, but logs what the first process alone computed. It
    acts before the hook that takes the values to the log; the price is two small messages a step.

    Raises:
        UserError: A value that not all processes log, for whose mean they would wait forever.
    """

    priority = 'HIGHEST'

    @torch.no_grad()
    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: dict | None = None
    ) -> None:
        """Replace the values, which all processes share."""
        values = {key: value for key, value in (outputs or {}).items() if isinstance(value, Tensor)}
        _check_same(values, runner.iter + 1)
        if values:
            all_reduce_dict(values, op='mean')
            outputs.update(values)


def _check_same(names: Iterable[str], step: int) -> None:
    """UserError in every process unless all of them have the same names."""
    names = sorted(names)
    checksums = all_gather(torch.tensor(zlib.crc32(repr(names).encode())))
    if len(set(map(int, checksums))) == 1:
        return
    found = [set(each) for each in all_gather_object(names)]
    common = set.intersection(*found)
    own = [
        f'{", ".join(sorted(names - common))} in process {rank}'
        for rank, names in enumerate(found)
        if names - common
    ]
    raise UserError(
        f'In iteration {step} only some processes log {" and ".join(own)}, so they have no '
        'mean: let the loss of the model return the same keys in each step, a zero where one does '
        'not apply.'
    )
