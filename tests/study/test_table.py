"""Tables of lines made by hand, with answers worked out by hand."""

import pytest

from tests.study.hand_made import LR, line, make_study
from transmamba_mm.study.table import (
    accuracy_table,
    best_trials,
    cost_table,
    difference_table,
    smallest_fractions,
    teacher_text,
)


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path)


def test_accuracy(study):
    """The interval of three equally likely values is from the least to the greatest mean but 1/27.

    2.5 % of the means lie below the second least: all three draws the same has a chance of 3.7 %.
    """
    assert accuracy_table(study, 'headline').splitlines() == [
        '| student | method | 100 % | 25 % | 10 % |',
        '| --- | --- | --- | --- | --- |',
        '| vim-nano | scratch | 86.00 ± 1.00 [85.00, 87.00] | 83.50 ± 0.50 [83.00, 84.00] | '
        '80.00 ± 0.00 [80.00, 80.00] |',
        '| vim-nano | wsab | 87.00 ± 0.50 [86.50, 87.50] | 86.20 ± 0.20 [86.00, 86.40] | '
        '84.00 ± 0.00 [84.00, 84.00] |',
    ]


def test_one_seed_has_no_spread_and_what_is_missing_is_empty(tmp_path):
    lines = [line('scratch', top1=85.0), line('wsab', 0.25, top1=86.0)]
    assert accuracy_table(make_study(tmp_path, lines), 'headline').splitlines()[2:] == [
        '| vim-nano | scratch | 85.00 |  |',
        '| vim-nano | wsab |  | 86.00 |',
    ]


def test_paired_differences(study):
    # 100 %: 1.5, 1.0, 0.5, error 0.5 / sqrt(3); 25 %: 3, 2.7, 2.4; 10 %: 4, 4, 4
    assert difference_table(study, 'headline').splitlines()[2:] == [
        '| vim-nano | wsab | **+1.00 ± 0.58** | **+2.70 ± 0.35** | **+4.00 ± 0.00** |'
    ]


def test_a_difference_within_two_errors_is_not_bold(tmp_path):
    tests = {'scratch': [85.0, 86.0], 'wsab': [85.0, 88.0]}  # gaps 0 and 2: 1 with an error of 1
    lines = [line(m, 1, s, test) for m, v in tests.items() for s, test in enumerate(v)]
    lines += [line('scratch', 0.1, 0, 80.0), line('wsab', 0.1, 0, 90.0)]  # one seed: no error
    table = difference_table(make_study(tmp_path, lines), 'headline')
    assert table.splitlines()[2:] == ['| vim-nano | wsab | +1.00 ± 2.00 | +10.00 |']


def test_smallest_fraction(study):
    # scratch has 86.0: lower bounds 86.5 and 86.0 are above 85.7, 84.0 is not
    assert smallest_fractions(study, 'headline').splitlines() == [
        '- vim-nano, wsab: reaches scratch with 100 % of the data (86.00, less 0.3) from 25 %.'
    ]


def test_smallest_fraction_against_converged_scratch_chosen_on_validation(tmp_path):
    lines = [
        *(line('wsab', 1, seed, 87.0) for seed in range(3)),
        *(line('wsab', 0.25, seed, 86.0) for seed in range(3)),
        # The second is better on the validation set, if not on the test set.
        line('scratch', top1=88.0, options={LR: 1e-3}, val={'accuracy/top1': 86.0}),
        line('scratch', top1=87.2, options={LR: 2e-3}, val={'accuracy/top1': 86.5}),
    ]
    found = smallest_fractions(make_study(tmp_path, lines), 'judged')
    assert '(87.20, less 0.3) from 100 %' in found


def test_no_fraction_is_enough(tmp_path):
    lines = [line('scratch', top1=86.0), line('wsab', top1=80.0)]
    found = smallest_fractions(make_study(tmp_path, lines), 'headline')
    assert 'with none of the fractions' in found


def test_best_trials_are_those_of_the_validation_set(tmp_path):
    lines = [
        line(method, options={LR: lr}, val={'accuracy/top1': value})
        for method, lr, value in [
            ('scratch', 1e-3, 84.0),
            ('scratch', 2e-3, 85.0),
            ('wsab', 1e-3, 87.0),
            ('wsab', 2e-3, 86.0),
        ]
    ]
    assert best_trials(make_study(tmp_path, lines), 'tuning').splitlines()[2:] == [
        '| vim-nano | scratch | 100 % | lr=0.002 | 85.00 | 2 |',
        '| vim-nano | wsab | 100 % | lr=0.001 | 87.00 | 2 |',
    ]


def test_trials_are_judged_by_validation_alone(tmp_path):
    study = make_study(tmp_path, [line('scratch', options={LR: 1e-3})])
    assert accuracy_table(study, 'tuning').splitlines()[0::2] == [
        '| student | method | options | 100 % |',
        '| vim-nano | scratch | lr=0.001 | 86.00 |',
    ]


def test_cost_and_images_to_equal_scratch(tmp_path):
    """Scratch ends at 86 on val; wsab is at 84 after 50 steps, at 88 after 100: 86 at 75."""
    curve = {'val_curve': [[50, 84.0], [100, 88.0]], 'val': {'accuracy/top1': 88.0}}
    low = {'val_curve': [[50, 70.0], [100, 80.0]], 'val': {'accuracy/top1': 80.0}}
    teacher = line(None, config='deit-nano_digits', cpu_seconds=120.0)
    lines = [
        line('scratch', top1=86.0),
        line('wsab', top1=88.0, cpu_seconds=90.0, **curve),
        line('wsab', 0.1, top1=80.0, **low),
        teacher,
    ]
    assert cost_table(make_study(tmp_path, lines), 'headline').splitlines()[2:] == [
        '| vim-nano | scratch | 100 % | 100 | 1.0 |  | 800 |',
        '| vim-nano | wsab | 100 % | 100 | 1.5 | 2.0 | 600 |',
        '| vim-nano | wsab | 10 % | 100 | 1.0 | 2.0 | never |',
    ]


def test_teacher(study, tmp_path):
    assert teacher_text(study, 'headline').endswith('reaches 88.50 (val), 88.25 (test).')
