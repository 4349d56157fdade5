"""The trainings of the teachers that the runs of a study need."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from transmamba_mm.errors import UserError
from transmamba_mm.study.design import Regime, Run
from transmamba_mm.study.training_job import TrainingJob

#: Endings of checkpoints; anything else is a work_dir, such as deit-B-12.5-seed0.
CHECKPOINTS = ('.pth', '.pt', '.safetensors', '.bin')


def _is_checkpoint(place: str) -> bool:
    return '://' in place or place.endswith(CHECKPOINTS)


def teacher_dir(place: str, run: Run, regime: Regime) -> str:
    """Work_dir of the teacher of a run.

    Args:
        place (str): The run's ``model.teacher.checkpoint``; a file if the user provides it.
        run (Run): The run.
        regime (Regime): How its teacher is trained.
    """
    if _is_checkpoint(place) or not regime.own_data:
        return place
    return f'{place}-{run.regime}-{run.fraction * 100:g}-seed{run.seed}'


def plan_teacher_jobs(
    run: Run, place: str, regime: Regime, teacher_options: Mapping[str, Any]
) -> list[tuple[TrainingJob, dict]]:
    """The teacher's training and its line; before it those of the vision encoder it names.

    Args:
        run (Run): Of a regime.
        place (str): Of :func:`teacher_dir`; there are no trainings where it is a file or URL.
        regime (Regime): How the teacher is trained.
        teacher_options (Mapping): Dotted keys to change in the teacher's config.

    Raises:
        UserError: No config trains the teacher.
    """
    if _is_checkpoint(place):
        return []
    path = teacher_config(run.config)
    options = {**teacher_options, **regime.options}
    if regime.own_data:
        options |= subset_of(run) | {'randomness.seed': run.seed}
    cfg = Config.fromfile(path)
    encoder = cfg.model.get('vision_checkpoint')
    found: list[tuple[Path, str, dict]] = []
    if encoder is not None and not _is_checkpoint(encoder):
        found.append((path.with_name(f'{Path(encoder).name}.py'), encoder, {}))
    found.append((path, place, options))
    jobs: list[tuple[TrainingJob, dict]] = []
    for config, folder, changes in found:
        steps = changes.get('train_cfg.max_iters', Config.fromfile(config).train_cfg.max_iters)
        job = TrainingJob(
            name=Path(folder).name,
            config=str(config),
            work_dir=folder,
            options=changes,
            steps=steps,
            needs=jobs[-1][0].name if jobs else None,
        )
        line: dict[str, Any] = {'config': config.stem, 'method': None, 'regime': run.regime}
        own = regime.own_data and config == path
        line |= {'fraction': run.fraction if own else 1, 'seed': run.seed if own else 0}
        jobs.append((job, line | {'options': changes}))
    return jobs


def teacher_config(config: str) -> Path:
    """Path of the config that trains the teacher of a transfer.

    Raises:
        UserError: There is none by the name of the transfer.
    """
    path = Path(config)
    _, _, teacher = path.stem.partition('_')
    found = path.parent.parent / 'teachers' / f'{teacher}.py'
    if not found.is_file():
        raise UserError(
            f'There is no config {found} for the teacher of {path}, which has to be named '
            '<student>_<teacher>_<data>.py: write it, or name a file in model.teacher.checkpoint.'
        )
    return found


def subset_of(run: Run) -> dict[str, Any]:
    """The options that keep a run's share of the data."""
    return {
        'train_dataloader.dataset.fraction': run.fraction,
        'train_dataloader.dataset.seed': run.seed,
    }
