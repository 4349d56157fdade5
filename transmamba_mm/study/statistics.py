"""Statistics of a few numbers, one per seed: mean, spread, interval, paired differences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

#: Resamplings of a bootstrap; their seed is fixed, so that a table can be drawn again.
RESAMPLES = 10_000


@dataclass(frozen=True)
class Estimate:
    """The mean of one number per seed.

    Attributes:
        mean (float): Their mean.
        spread (float): Standard deviation over seeds (n - 1); 0 for a single one.
        low, high (float): 95 % bootstrap interval of the mean (percentiles).
        count (int): Seeds.
    """

    mean: float
    spread: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> 'Estimate':
        """Estimate from at least one value."""
        numbers = np.asarray(values, dtype=float)
        drawn = np.random.default_rng(0).choice(numbers, (RESAMPLES, len(numbers)))
        low, high = np.percentile(drawn.mean(axis=1), [2.5, 97.5])
        spread = numbers.std(ddof=1) if len(numbers) > 1 else 0.0
        return cls(float(numbers.mean()), float(spread), float(low), float(high), len(numbers))


@dataclass(frozen=True)
class Difference:
    """A method minus another, seed by seed.

    Attributes:
        mean (float): Of the differences.
        error (float): Its standard error; infinite for a single seed.
        count (int): Seeds that both have.
    """

    mean: float
    error: float
    count: int

    @classmethod
    def of(cls, values: Mapping[int, float], others: Mapping[int, float]) -> 'Difference | None':
        """From values by seed; None if the two share no seed."""
        seeds = sorted(values.keys() & others.keys())
        if not seeds:
            return None
        gaps = np.array([values[seed] - others[seed] for seed in seeds])
        error = gaps.std(ddof=1) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.inf
        return cls(float(gaps.mean()), float(error), len(gaps))

    @property
    def verdict(self) -> str:
        """'better' or 'worse' by at least two standard errors, else 'open'."""
        if abs(self.mean) < 2 * self.error or not self.mean:
            return 'open'
        return 'better' if self.mean > 0 else 'worse'


def smallest_fraction(
    estimates: Mapping[float, Estimate], reference: float, margin: float
) -> float | None:
    """The least data with which the lower bound is at least ``reference - margin``.

    It has to hold at every larger fraction too, so that one lucky cell decides nothing.

    Args:
        estimates (Mapping[float, Estimate]): By share of the data.
        reference (float): A mean.
        margin (float): What may be missing to it.

    Returns:
        float | None: None if it does not hold even with the most data.
    """
    smallest = None
    for fraction in sorted(estimates, reverse=True):
        if estimates[fraction].low < reference - margin:
            break
        smallest = fraction
    return smallest


def steps_to_reach(curve: Sequence[Sequence[float]], target: float) -> float | None:
    """The step at which a curve (steps, values) first reaches ``target``, linearly between points.

    None if it never does.
    """
    before: Sequence[float] | None = None
    for step, value in curve:
        if value >= target:
            if before is None or value == before[1]:
                return float(step)
            share = (target - before[1]) / (value - before[1])
            return before[0] + share * (step - before[0])
        before = (step, value)
    return None
