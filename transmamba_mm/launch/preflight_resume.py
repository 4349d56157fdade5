"""Check that a training to resume is not finished."""

import os
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from transmamba_mm.checkpoint import newest_checkpoint, resolve_checkpoint
from transmamba_mm.checkpoint_file import read_meta
from transmamba_mm.errors import UserError
from transmamba_mm.work_dir import checkpoints_in

#: Limits of a training, and the name of the progress in a checkpoint.
ENDS = {'max_iters': 'iter', 'max_epochs': 'epoch'}


def finished_training(cfg: Config) -> Iterator[str]:
    """Report a checkpoint to resume that is past the end of the training.

    One that is exactly at the end may still owe a validation, and is no fault.
    """
    length = cfg.get('train_cfg') or {}
    end = next((key for key in ENDS if length.get(key) is not None), None)
    if not cfg.get('resume') or end is None or os.environ.get('LOCAL_RANK', '0') != '0':
        return
    try:
        path = _to_resume(cfg, end)
    except UserError:  # nothing to resume: reported where it is read
        return
    if path is not None:
        yield (
            f'The checkpoint to resume, {path}, is of {ENDS[end]} {_progress(path, end)}, past the '
            f'end of the training: train_cfg.{end}={length[end]}. Train longer, resume an earlier '
            'checkpoint (--resume FILE), or start again in another --work-dir.'
        )


def _to_resume(cfg: Config, end: str) -> Path | None:
    """The checkpoint to resume if it is past the end, else None."""
    length, named = cfg.train_cfg[end], cfg.get('load_from')
    found = [resolve_checkpoint(named)] if named else checkpoints_in(Path(cfg.work_dir))
    if not any(_progress(path, end) > length for path in found):
        return None
    path = found[0] if named else newest_checkpoint(cfg.work_dir)  # others may be damaged
    return path if path is not None and _progress(path, end) > length else None


def _progress(path: Path, end: str) -> int:
    return read_meta(path).get(ENDS[end], 0)
