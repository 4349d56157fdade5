"""Statistics of a study on numbers by hand."""

import math

import pytest

from transmamba_mm.study.statistics import (
    Difference,
    Estimate,
    smallest_fraction,
    steps_to_reach,
)


def test_mean_spread_and_interval():
    # Means of two drawn from {0, 1} are 0, 0.5, 1 with probabilities 1/4, 1/2, 1/4.
    estimate = Estimate.of([0.0, 1.0])
    assert (estimate.mean, estimate.low, estimate.high, estimate.count) == (0.5, 0.0, 1.0, 2)
    assert estimate.spread == pytest.approx(math.sqrt(0.5))


def test_interval_of_many_values_is_two_standard_errors():
    values = [float(i % 10) for i in range(400)]  # variance 8.25
    estimate = Estimate.of(values)
    error = math.sqrt(8.25 / 400)
    assert estimate.low == pytest.approx(4.5 - 1.96 * error, abs=0.02)
    assert estimate.high == pytest.approx(4.5 + 1.96 * error, abs=0.02)


def test_one_seed_has_no_spread():
    assert Estimate.of([3.0]) == Estimate(3.0, 0.0, 3.0, 3.0, 1)


@pytest.mark.parametrize(
    ('values', 'others', 'mean', 'error', 'verdict'),
    [
        # gaps 1, 2, 3: deviation 1, error 1 / sqrt(3) = 0.577
        ({0: 11, 1: 22, 2: 33}, {0: 10, 1: 20, 2: 30}, 2, 1 / math.sqrt(3), 'better'),
        ({0: 10, 1: 20, 2: 30}, {0: 11, 1: 22, 2: 33}, -2, 1 / math.sqrt(3), 'worse'),
        # gaps 0, 2: error 1, mean 1 < 2
        ({0: 1, 1: 3}, {0: 1, 1: 1}, 1, 1, 'open'),
        # only seed 1 is shared
        ({0: 1, 1: 9}, {1: 1, 2: 0}, 8, math.inf, 'open'),
        ({0: 1, 1: 1}, {0: 1, 1: 1}, 0, 0, 'open'),
        ({0: 2, 1: 2}, {0: 1, 1: 1}, 1, 0, 'better'),
    ],
)
def test_paired_difference(values, others, mean, error, verdict):
    found = Difference.of(values, others)
    assert (found.mean, found.error, found.verdict) == (mean, pytest.approx(error), verdict)


def test_no_pair_no_difference():
    assert Difference.of({0: 1.0}, {1: 1.0}) is None


def bound(low):
    return Estimate(low + 1, 1.0, low, low + 2, 5)


@pytest.mark.parametrize(
    ('lows', 'expected'),
    [
        ({1: 87.0, 0.25: 86.0, 0.1: 85.7, 0.01: 80.0}, 0.1),
        ({1: 87.0, 0.25: 85.6, 0.1: 85.7}, 1),  # one lucky small fraction decides nothing
        ({1: 85.0, 0.25: 99.0}, None),
        ({1: 85.7}, 1),  # exactly the bound
    ],
)
def test_smallest_fraction(lows, expected):
    estimates = {fraction: bound(low) for fraction, low in lows.items()}
    assert smallest_fraction(estimates, 86.0, 0.3) == expected


@pytest.mark.parametrize(
    ('target', 'expected'),
    [(80, 200), (85, 300), (82, 240), (70, 200), (90, 400), (91, None), (87.5, 350)],
)
def test_steps_to_reach(target, expected):
    assert steps_to_reach([[200, 80], [300, 85], [400, 90]], target) == expected


def test_a_curve_that_stays():
    assert steps_to_reach([[1, 5], [2, 5], [3, 6]], 5) == 1
