"""Design of a study: blocks of runs, and their teachers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from transmamba_mm.checks import FLAG, SEED, SHARE, Each, check, check_keys
from transmamba_mm.errors import UserError
from transmamba_mm.launch.method import method_name


@dataclass(frozen=True)
class Run:
    """One training of a student: a line of the results once it is finished.

    Attributes:
        config (str): Path of the transfer's config.
        method (str): As ``--method`` of the tools takes it.
        fraction (float): Share of the training data.
        seed (int): Of the subset, the initialization and the order of the data.
        regime (str | None): What the teacher was trained on; None where there is no teacher.
        options (Mapping): Dotted keys changed in the config.
        test (bool): Whether the test set is evaluated at the end; not part of the identity.
    """

    config: str
    method: str
    fraction: float
    seed: int
    regime: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    test: bool = True

    @cached_property
    def line(self) -> dict:
        """Key of the run in the results."""
        return {
            'config': Path(self.config).stem,
            'method': method_name(self.method),
            'fraction': self.fraction,
            'seed': self.seed,
            'regime': self.regime,
            'options': dict(self.options),
        }

    @cached_property
    def key(self) -> str:
        """The same as one string."""
        return key_of(self.line)


def key_of(line: Mapping[str, Any]) -> str:
    """The identity of a line: two runs with equal keys are the same run."""
    names = ('config', 'method', 'fraction', 'seed', 'regime', 'options')
    return json.dumps([line[name] for name in names], sort_keys=True)


@dataclass(frozen=True)
class Block:
    """Runs to compare: all combinations of configs, methods, fractions, seeds and trials.

    Attributes:
        configs (Sequence[str]): Paths of transfers, ``configs/transmamba/S_T_D.py``.
        methods (Sequence[str]): As ``--method`` takes them.
        fractions (Sequence[float]): Shares of the training data, in (0, 1].
        seeds (Sequence[int]): All methods share them, so that differences are paired.
        regime (str): A regime of the study; by default its first.
        trials (Sequence[Mapping]): Options (dotted keys) of each trial.
        test (bool): False for runs among which a choice is made: they see the validation set only.
        baseline (str): The method that the others are compared with, seed by seed.
        reference (str): The block with scratch tuned and converged; by default this one.
    """

    configs: Sequence[str]
    methods: Sequence[str]
    fractions: Sequence[float] = (1,)
    seeds: Sequence[int] = (0,)
    regime: str = ''
    trials: Sequence[Mapping[str, Any]] = ()
    test: bool = True
    baseline: str = 'scratch'
    reference: str = ''

    def __post_init__(self) -> None:
        check('a block', 'fractions', self.fractions, Each(SHARE, alone=False))
        check('a block', 'seeds', self.seeds, Each(SEED, alone=False))
        check('a block', 'test', self.test, FLAG)

    def cells(self) -> Iterator[tuple[int, float, str, str, dict[str, Any]]]:
        """(seed, fraction, config, method, options): paired runs beside each other."""
        for seed in self.seeds:
            for fraction in self.fractions:
                for config in self.configs:
                    for trial in self.trials or ({},):
                        for method in self.methods:
                            yield seed, fraction, config, method, dict(trial)


@dataclass(frozen=True)
class Regime:
    """How the teacher of a block is trained.

    Attributes:
        options (Mapping): Dotted keys changed in the teacher's config.
        own_data (bool): Whether it gets the student's own subset (fraction and seed), or that of
            its config.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    own_data: bool = False


@dataclass(frozen=True)
class Tuned:
    """Options that tuning has chosen, for the runs that ``where`` describes.

    Attributes:
        where (Mapping): Entries of :attr:`Run.line` that a run has to have; all of ``config``,
            ``method``, ``fraction`` and ``regime`` may be left out.
        options (Mapping): Dotted keys to change in those runs.
    """

    where: Mapping[str, Any]
    options: Mapping[str, Any]

    def fits(self, run: Run) -> bool:
        """Whether it is about ``run``."""
        return all(run.line[name] == value for name, value in self.where.items())


def from_dict(kind: type, owner: str, values: Any) -> Any:
    """A dataclass of this module from a dict of a study file.

    Raises:
        UserError: Unknown or missing keys.
    """
    if not isinstance(values, Mapping):
        raise UserError(f'{owner} has to be a dict, not {values!r}.')
    known = {entry.name: entry for entry in fields(kind)}
    check_keys(owner, values, known)
    try:
        return kind(**values)
    except TypeError as error:
        raise UserError(f'{owner}: {str(error).partition("() ")[2]}.') from error
