"""Where two curves cross."""

import pytest

from benchmarks.model.crossover import crossover, crossover_sentence

TOKENS = [100, 400, 1600]


def test_power_laws_cross_where_they_should():
    student = [8 * n for n in TOKENS]
    teacher = [n**2 / 25 for n in TOKENS]  # equal at 200
    assert crossover(TOKENS, student, teacher) == pytest.approx(200)


@pytest.mark.parametrize(
    ('student', 'place', 'sentence'),
    [
        ([1, 1, 1], 100, 'at 100 patches or fewer'),
        ([3, 3, 3], None, 'none up to 1,600 patches'),
        ([1, 1, 3], None, 'none up to 1,600 patches'),  # overtaken again
        ([1, 4, 1], 800, 'at 800 patches'),
    ],
)
def test_the_student_has_to_stay_ahead(student, place, sentence):
    found = crossover(TOKENS, student, [2, 2, 2])
    assert found == (None if place is None else pytest.approx(place))
    assert crossover_sentence(TOKENS, found) == sentence
