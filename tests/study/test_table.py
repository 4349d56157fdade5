"""Means, spreads and the smallest fraction that is still as good."""

import pytest

from transmamba_mm.study.data_efficiency import Record
from transmamba_mm.study.table import markdown_table, smallest_equal_fraction, summary_sentence


def records(cells):
    return [
        Record(method, fraction, seed, accuracy, 10, 1.0, '')
        for (method, fraction), accuracies in cells.items()
        for seed, accuracy in enumerate(accuracies)
    ]


STUDY = records(
    {
        ('scratch', 1.0): [98.0, 99.0, 100.0],
        ('wsab', 1.0): [99.0, 99.0, 99.3],
        ('scratch', 0.5): [95.0, 96.0, 97.0],
        ('wsab', 0.5): [98.4, 98.5, 98.6],
        ('scratch', 0.1): [85.0, 86.0, 90.0],
        ('wsab', 0.1): [90.0, 91.0, 92.0],
    }
)


def test_table():
    assert markdown_table(STUDY).splitlines() == [
        '| data | scratch | wsab |',
        '|---|---|---|',
        '| 100 % | 99.00 ± 1.00 | 99.10 ± 0.17 |',
        '| 50 % | 96.00 ± 1.00 | 98.50 ± 0.10 |',
        '| 10 % | 87.00 ± 2.65 | 91.00 ± 1.00 |',
    ]


def test_one_seed_has_no_spread():
    assert '| 100 % | 98.00 |' in markdown_table(records({('scratch', 1.0): [98.0]}))


def test_smallest_fraction_with_and_without_the_spread():
    # 98.5 is within one standard error, 1 / sqrt(3) = 0.58 and a little, of 99.0.
    assert smallest_equal_fraction(STUDY) == 0.5
    assert smallest_equal_fraction(STUDY, within_spread=False) == 1.0


def test_one_lucky_small_fraction_decides_nothing():
    lucky = records(
        {
            ('scratch', 1.0): [99.0],
            ('wsab', 1.0): [99.0],
            ('wsab', 0.5): [97.0],
            ('wsab', 0.1): [99.5],
        }
    )
    assert smallest_equal_fraction(lucky) == 1.0


@pytest.mark.parametrize(
    ('accuracy', 'sentence'),
    [
        (99.0, 'wsab with 100 % of the data still equals scratch with 100 %'),
        (50.0, 'wsab does not reach scratch with 100 %'),
    ],
)
def test_conclusion(accuracy, sentence):
    found = records({('scratch', 1.0): [99.0, 99.0], ('wsab', 1.0): [accuracy, accuracy]})
    assert summary_sentence(found).splitlines() == [
        f'{sentence} (within one standard error).',
        f'{sentence} (by the plain mean).',
    ]
