"""mmengine's training loops, with exact resuming of an interrupted training."""

from itertools import islice
from typing import Any

from mmengine import runner as mmengine
from mmengine.runner import Runner
from torch.utils.data import BatchSampler, DataLoader

from transmamba_mm.engine.seeded_batches import SeededSampler, seed_batches
from transmamba_mm.registry import LOOPS


class _ResumableLoop:
    """Seeds each batch by its position, and notifies the hooks of an error.

    Attributes:
        batches_done (int): Trained batches of the current epoch, in epoch-based loops.
    """

    batches_done = 0

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *args, **kwargs) -> None:
        if isinstance(dataloader, dict):
            ranks_differ = runner._randomness_cfg.get('diff_rank_seed', False)
            dataloader = runner.build_dataloader(
                dataloader, seed=runner.seed, diff_rank_seed=ranks_differ
            )
        super().__init__(runner, seed_batches(dataloader), *args, **kwargs)

    def run(self) -> Any:
        """Train; hooks with ``after_failure`` can save the state before an error propagates."""
        if self.runner.val_loop is not None:
            seed_batches(self.runner.val_dataloader)
        if self.iter >= self.max_iters:
            done = f'the checkpoint is of iteration {self.iter} of {self.max_iters}'
            self.runner.logger.info(f'Nothing is left to train: {done}.')
        try:
            return super().run()
        except Exception:
            self.runner.call_hook('after_failure')
            raise


@LOOPS.register_module()
class IterBasedTrainLoop(_ResumableLoop, mmengine.IterBasedTrainLoop):
    """Counts iterations, as mmengine's."""


@LOOPS.register_module()
class EpochBasedTrainLoop(_ResumableLoop, mmengine.EpochBasedTrainLoop):
    """Counts epochs, as mmengine's, and can resume in the middle of one."""

    def run_epoch(self) -> None:
        """Train on the rest of an epoch."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for index, batch in self._batches_left():
            self.run_iter(index, batch)
            self.batches_done = index + 1
        self.runner.call_hook('after_train_epoch')
        self.batches_done = 0
        self._epoch += 1

    def _batches_left(self):
        loader, done = self.dataloader, self.batches_done
        seeded = isinstance(getattr(loader, 'sampler', None), SeededSampler)
        if seeded and type(loader.batch_sampler) is BatchSampler:
            loader.sampler.start_at(done * loader.batch_size)
            return enumerate(loader, done)
        return islice(enumerate(loader), done, None)  # batches of unknown sizes: made, not used
