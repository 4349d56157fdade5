"""The learning-rate schedule of a training, run in a part of its steps."""

from collections.abc import Mapping, Sequence
from typing import Any

#: Arguments of mmengine's schedulers that count epochs or iterations.
TIMES = ('begin', 'end', 'T_max', 'total_steps', 'step_size', 'milestones', 'periods', 'interval')


def shorten_schedule(
    schedulers: Sequence[Mapping[str, Any]], share: float, num_steps: int, epoch_length: int
) -> list[dict[str, Any]]:
    """Configs of the same schedule for a stage, counted in iterations of the stage.

    Args:
        schedulers (Sequence[Mapping]): Configs of mmengine's schedulers, for the whole training.
        share (float): The stage's share of the steps.
        num_steps (int): Steps of the stage.
        epoch_length (int): Iterations of an epoch.
    """
    shortened = [_shorten(config, share, num_steps, epoch_length) for config in schedulers]
    # In a stage of a few steps not every part of the schedule has one.
    return [config for config in shortened if config.get('begin', 0) < config['end']]


def _shorten(
    config: Mapping[str, Any], share: float, num_steps: int, epoch_length: int
) -> dict[str, Any]:
    result = {key: value for key, value in config.items() if key != 'convert_to_iter_based'}
    scale = share * (epoch_length if config.get('by_epoch', True) else 1)
    for key in TIMES:
        if key in result:
            value = result[key]
            times = isinstance(value, Sequence)
            result[key] = [_steps(t, scale) for t in value] if times else _steps(value, scale)
    result['by_epoch'] = False
    result['end'] = min(result.get('end', num_steps), num_steps)
    return result


def _steps(time: float, scale: float) -> int:
    """A time in steps of a stage; a period that is not 0 stays one step or more."""
    return max(round(time * scale), 1) if time else 0
