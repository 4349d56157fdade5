"""Write checkpoints so that a process which dies on the way loses none."""

from collections import deque
from typing import Any

from mmengine import hooks as mmengine
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from transmamba_mm.compat import internal
from transmamba_mm.engine.local_backend import ATOMIC_BACKEND, RemoveLater
from transmamba_mm.engine.resume_state import KEY, ResumeState, sampler_seed
from transmamba_mm.random_states import gather_random_states

for _method in ('_save_checkpoint_with_step', '_save_best_checkpoint'):
    internal(mmengine.CheckpointHook, _method)  # overridden: mmengine still has to call them


class CheckpointWriter(mmengine.CheckpointHook):
    """mmengine's, with the same arguments, and nothing lost.

    A checkpoint is written beside the others and renamed once it is on the disk; only then is
    ``last_checkpoint`` written, in the same way, and the oldest deleted. It holds the random states
    of all processes.
    """

    _validated = False  # since the last step
    _random_states: list[dict[str, Any]] | None = None  # of all ranks, before the validation
    _resume_state: ResumeState | None = None  # of the checkpoint that is being written
    _saved_iter = 0

    def before_run(self, runner: Runner) -> None:
        """Choose the backend that renames what it has written."""
        if self.backend_args is None and self.file_client_args is None:
            self.backend_args = {'backend': ATOMIC_BACKEND}

    def _save_checkpoint_with_step(
        self, runner: Runner, step: int | str, meta: dict, batches_done: int = 0
    ) -> None:
        """Write one, note it as the last one, and only then delete the oldest.

        Until they are deleted, older ones stay in the list of the checkpoints that the newest one
        holds: if that does not happen, mmengine deletes them when it resumes.
        """
        kept = []
        if self.max_keep_ckpts > 0:
            kept = [other for other in self.keep_ckpt_ids if other != step] + [step]
            runner.message_hub.update_info('keep_ckpt_ids', kept)
        self.last_ckpt = self._path(step)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        self._resume_state = ResumeState(
            self._random_states or gather_random_states(),
            sampler_seed(runner),
            batches_done,
            self._validated,
        )
        runner.save_checkpoint(
            self.out_dir,
            self.filename_tmpl.format(step),
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        self._saved_iter = meta['iter']
        outdated = kept[: -self.max_keep_ckpts] if kept else []
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
        if is_main_process():
            note = self.file_backend.join_path(runner.work_dir, 'last_checkpoint')
            self.file_backend.put_text(self.last_ckpt, note)
            for other in outdated:
                if self.file_backend.isfile(self._path(other)):
                    self.file_backend.remove(self._path(other))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add what mmengine's Runner does not save."""
        if 'optimizer' in checkpoint and self._resume_state:
            checkpoint[KEY] = vars(self._resume_state)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Save the best before the one that was the best so far is deleted."""
        backend, self.file_backend = self.file_backend, RemoveLater(self.file_backend)
        try:
            super()._save_best_checkpoint(runner, metrics)
            self.file_backend.remove_now(besides=_best_files(runner))
        finally:
            self.file_backend = backend

    def _path(self, step: int | str) -> str:
        return self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))


def _best_files(runner: Runner) -> list[str]:
    return [v for key, v in runner.message_hub.runtime_info.items() if key.startswith('best_ckpt')]
