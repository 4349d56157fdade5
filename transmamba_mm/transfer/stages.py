"""Parts of a training, each with its own trainable parameters, losses and learning rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from itertools import accumulate
from math import isclose
from typing import Any

from torch import nn

from transmamba_mm.checks import POSITIVE, SHARE, check, check_keys
from transmamba_mm.errors import UserError, nearest
from transmamba_mm.models.layouts import layout_of
from transmamba_mm.models.towers import towers_of

ALL, MIXERS = 'all', 'mixers'


@dataclass(frozen=True)
class Stage:
    """A part of a training.

    Attributes:
        share (float): Its share of the steps, in (0, 1].
        name (str): For the log.
        trains (str | Sequence[str]): Trained parameters of the student: 'all'; 'mixers',
            the attention or the scan of each layer; or glob patterns of their names. What is frozen
            in the student's config stays frozen.
        distiller (dict, optional): Its losses. By default those of the transfer.
        lr_mult (float): Factor of the learning rate of the optimizer's config.
    """

    share: float
    name: str = ''
    trains: str | Sequence[str] = ALL
    distiller: Mapping[str, Any] | None = None
    lr_mult: float = 1.0

    def __post_init__(self) -> None:
        check('a stage', 'share', self.share, SHARE)
        check('a stage', 'lr_mult', self.lr_mult, POSITIVE)

    def trained(self, student: nn.Module, names: Sequence[str]) -> list[str]:
        """Select from the student's parameters ``names`` those that the stage trains.

        Raises:
            UserError: A pattern that matches none.
        """
        if self.trains == ALL:
            return list(names)
        if self.trains == MIXERS:
            patterns = [
                f'{tower.path}.{path}.*'
                for tower in towers_of(student).values()
                for path in layout_of(tower.backbone).mixer_paths()
            ]
        else:
            patterns = [self.trains] if isinstance(self.trains, str) else list(self.trains)
            for pattern in patterns:
                if not any(fnmatchcase(name, pattern) for name in names):
                    raise UserError(
                        f'trains={pattern!r} of the stage {self.name!r} matches no parameter of '
                        f"the student; it is 'all', 'mixers' or glob patterns. The nearest are: "
                        f'{nearest(pattern, names)}.'
                    )
        return [name for name in names if any(fnmatchcase(name, item) for item in patterns)]


def build_stages(configs: Sequence[Mapping[str, Any]]) -> list[Stage]:
    """Read ``stages`` of a config.

    Raises:
        UserError: An unknown key; shares that do not add up to 1.
    """
    known = [field.name for field in fields(Stage)]
    for index, config in enumerate(configs):
        check_keys(f'stages[{index}]', config, known)
        if 'share' not in config:
            raise UserError(f'stages[{index}] needs a share of the steps, such as share=0.3.')
    stages = [Stage(**config) for config in configs]
    total = sum(stage.share for stage in stages)
    if stages and not isclose(total, 1.0, abs_tol=1e-6):
        shares = ' + '.join(f'{stage.share:g}' for stage in stages)
        raise UserError(f'The shares of the stages are {shares} = {total:g}; they have to be 1.')
    return stages


def stage_ends(stages: Sequence[Stage], num_steps: int) -> list[int]:
    """Step before which each stage ends, of a training of ``num_steps`` steps.

    Raises:
        UserError: A stage without a step.
    """
    ends = [round(part * num_steps) for part in accumulate(stage.share for stage in stages)]
    for stage, first, end in zip(stages, [0, *ends], ends, strict=False):
        if end <= first:
            raise UserError(
                f'The stage {stage.name!r} has a share of {stage.share:g}, less than one of '
                f'{num_steps} steps: train longer, or remove it.'
            )
    return ends
