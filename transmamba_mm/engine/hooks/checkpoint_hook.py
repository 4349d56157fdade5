"""Checkpoints that survive a kill and resume a training exactly."""

import signal
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, is_distributed, is_main_process
from mmengine.hooks import EMAHook
from mmengine.runner import IterBasedTrainLoop, Runner

from transmamba_mm.atomic_file import remove_partial_files
from transmamba_mm.engine.hooks.checkpoint_writer import CheckpointWriter
from transmamba_mm.engine.resume_state import ResumeState, checkpoint_to_resume
from transmamba_mm.engine.stop_signals import StopSignals
from transmamba_mm.random_states import gather_random_states, set_random_state
from transmamba_mm.registry import HOOKS


@HOOKS.register_module()
class CheckpointHook(CheckpointWriter):
    """mmengine's, with the same arguments, and nothing lost.

    A checkpoint is written as :class:`CheckpointWriter` does. ``resume`` without a name takes the
    newest one that is whole. SIGTERM, SIGINT and an error between two steps, as of a validation,
    leave a checkpoint of the last step; a validation that was due then is made up for.
    """

    _in_training = False
    _in_step = False
    _averaged = False  # EMAHook has put its weights into the model
    _resumed: ResumeState | None = None

    # -- to go on ---------------------------------------------------------------------------------

    def before_run(self, runner: Runner) -> None:
        """Choose what to resume."""
        super().before_run(runner)
        if runner._resume:
            runner._load_from = checkpoint_to_resume(runner.work_dir, runner._load_from)
            runner._resume = runner._load_from is not None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep what mmengine's Runner does not restore."""
        if runner._resume:
            self._resumed = ResumeState.of(checkpoint)

    def before_train(self, runner: Runner) -> None:
        """Restore it, now that everything is built."""
        super().before_train(runner)
        if is_main_process():
            remove_partial_files(self.out_dir)
        self._in_training = True
        self._signals = StopSignals()
        self._signals.listen()
        self._saved_iter = runner.iter
        if self._resumed is None:
            _draw_once()
            return
        self._resumed.restore(runner)
        if self._resumed.lacks_validation(runner):
            runner.logger.info('The validation that was due at this step comes first.')
            runner.val_loop.run()

    # -- steps and validations --------------------------------------------------------------------

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Until the step is done, there is nothing to save."""
        self._in_step = True

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Save at the interval, or because the process has to stop."""
        self._validated = False
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        self._in_step = False
        number = torch.tensor(self._signals.received)
        all_reduce(number, 'max')  # ranks hear of it at different times and must stop at one step
        if number:
            in_epochs = not isinstance(runner.train_loop, IterBasedTrainLoop)
            self._save_step(runner, runner.iter + 1, batch_idx + 1 if in_epochs else 0)
            barrier()
            self._leave(runner, int(number))

    def before_val(self, runner: Runner) -> None:
        """Set the random states aside: a validation that is repeated must not change the rest."""
        if self._in_training:
            self._random_states = gather_random_states()

    def before_val_epoch(self, runner: Runner) -> None:
        """Come after EMAHook."""
        self._averaged = self._in_training

    def after_val_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Stop within a validation; each rank by itself, as they may differ in batches."""
        if self._in_training and self._signals.received:
            self._save_last_step(runner)
            self._leave(runner, self._signals.received)

    def after_val_epoch(self, runner: Runner, metrics: dict) -> None:
        """Restore the random states; save the best."""
        self._averaged = False
        if self._random_states:
            set_random_state(self._random_states[runner.rank])
            _draw_once()
        before, self._random_states = self._random_states, None
        self._validated = True
        try:
            super().after_val_epoch(runner, metrics)
        except Exception:
            self._random_states, self._validated = before, False
            raise

    def after_train(self, runner: Runner) -> None:
        """Leave signals to others."""
        super().after_train(runner)
        self._end()

    def after_failure(self, runner: Runner) -> None:
        """Save the last step, if the error came between two."""
        if self._in_training:
            if self._random_states or not (self._in_step or is_distributed()):
                self._save_last_step(runner)
            self._end()

    def _end(self) -> None:
        self._in_training = False
        self._random_states = None
        self._signals.ignore()

    def _leave(self, runner: Runner, number: int) -> None:
        name = signal.Signals(number).name
        runner.logger.info(f'Stopped by {name}; {self.last_ckpt} is saved: continue with --resume.')
        self._signals.leave(number)

    # -- between two steps ------------------------------------------------------------------------

    def _save_last_step(self, runner: Runner) -> None:
        """Save between two steps, unless that is done or there was none; the main process alone."""
        if not is_main_process() or runner.iter == self._saved_iter:
            return
        for hook in runner.hooks if self._averaged else ():
            if isinstance(hook, EMAHook):
                hook._swap_ema_parameters()
        self._save_step(runner, runner.iter, getattr(runner.train_loop, 'batches_done', 0))
        runner.logger.info(f'Saved {self.last_ckpt}, the last step before the end.')

    def _save_step(self, runner: Runner, done: int, batches_done: int) -> None:
        """Save after ``done`` iterations, ``batches_done`` of them in the current epoch."""
        if done == self._saved_iter:
            return
        epochs = f'{runner.epoch}_iter_{done}' if batches_done else runner.epoch
        self._save_checkpoint_with_step(
            runner,
            epochs if self.by_epoch else done,
            {'epoch': runner.epoch, 'iter': done},
            batches_done,
        )


def _draw_once() -> None:
    """Draw from the model's random stream as an iterator of torch's DataLoader does.

    Ours has a stream of its own; seeds give the trainings that they have given before.
    """
    torch.empty((), dtype=torch.int64).random_()
