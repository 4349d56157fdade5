"""State that resuming a training needs besides what mmengine's Runner saves and restores."""

from dataclasses import dataclass
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.runner import IterBasedTrainLoop, Runner

from transmamba_mm.checkpoint import newest_checkpoint, resolve_checkpoint
from transmamba_mm.errors import UserError
from transmamba_mm.random_states import set_random_state

#: Its key in a checkpoint.
KEY = 'resume_state'

#: What else a checkpoint needs in order to be resumed.
TRAINING_KEYS = ('meta', 'message_hub', 'optimizer')


@dataclass
class ResumeState:
    """A part of a checkpoint.

    Attributes:
        random_states (list[dict]): Of each process, by rank.
        sampler_seed (int, optional): Decides the order of the data.
        batches_done (int): Trained batches of the current epoch; 0 between two epochs
            and where iterations are counted.
        validated (bool): A validation that was due after this step is in the checkpoint.
    """

    random_states: list[dict[str, Any]]
    sampler_seed: int | None
    batches_done: int
    validated: bool

    @classmethod
    def of(cls, checkpoint: dict) -> 'ResumeState | None':
        """Read it; None of a checkpoint that mmengine's own hook wrote.

        Raises:
            UserError: Not a checkpoint of a training, but weights alone.
        """
        missing = [key for key in TRAINING_KEYS if key not in checkpoint]
        if missing:
            raise UserError(
                f'The checkpoint to resume lacks {", ".join(missing)}: it holds weights, not a '
                'training. Resume an iter_*.pth or epoch_*.pth, or begin with these weights: '
                '--cfg-options load_from=FILE.'
            )
        return cls(**checkpoint[KEY]) if KEY in checkpoint else None

    def restore(self, runner: Runner) -> None:
        """Restore the random states and the position in the data."""
        if len(self.random_states) == runner.world_size:
            set_random_state(self.random_states[runner.rank])
        else:
            runner.logger.warning(
                f'The checkpoint is of {len(self.random_states)} processes, this training of '
                f'{runner.world_size}: it continues with other random numbers.'
            )
        sampler = _sampler(runner)
        if self.sampler_seed is not None and hasattr(sampler, 'seed'):
            sampler.seed = self.sampler_seed
        runner.train_loop.batches_done = self.batches_done

    def lacks_validation(self, runner: Runner) -> bool:
        """Whether the training was interrupted before or during a due validation."""
        loop = runner.train_loop
        if runner.val_loop is None or self.validated or self.batches_done:
            return False
        loop._decide_current_val_interval()
        by_iter = isinstance(loop, IterBasedTrainLoop)
        done, total = (loop.iter, loop.max_iters) if by_iter else (loop.epoch, loop.max_epochs)
        return done >= loop.val_begin and (done % loop.val_interval == 0 or done == total)


def sampler_seed(runner: Runner) -> int | None:
    """The seed of the order of the train data, if it has one."""
    return getattr(_sampler(runner), 'seed', None)


def checkpoint_to_resume(work_dir: str, named: str | None) -> str | None:
    """Choose a checkpoint, on the main process for all.

    Args:
        work_dir: Folder to search for the newest complete one.
        named: The user's choice: a file, another work_dir or a URL.

    Returns:
        A path, or None where no training has been yet.

    Raises:
        UserError: There are checkpoints, but none is whole; the one named is not there.
    """
    found: list[Any] = [None, None]  # path, error
    if is_main_process():
        try:
            path = (
                resolve_checkpoint(named) if named else newest_checkpoint(work_dir, TRAINING_KEYS)
            )
            found[0] = None if path is None else str(path)
        except UserError as error:
            found[1] = str(error)
    broadcast_object_list(found)
    if found[1] is not None:
        raise UserError(found[1])
    return found[0]


def _sampler(runner: Runner) -> Any:
    batches = runner.train_dataloader.batch_sampler
    return getattr(batches, 'sampler', None)
