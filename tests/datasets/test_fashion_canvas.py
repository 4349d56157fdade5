"""Canvases of Fashion-MNIST, checked against the images that they show."""

from collections import Counter

import numpy as np
import pytest

from transmamba_mm.datasets import FashionCanvas, FashionMNIST
from transmamba_mm.datasets.fashion_canvas import CLOTHES
from transmamba_mm.errors import UserError

NUMBER = 300


pytestmark = pytest.mark.usefixtures('fashion_mnist')


def tiles(canvas: np.ndarray) -> list[bytes]:
    """The nine images of a canvas, row by row."""
    return [
        canvas[y : y + 28, x : x + 28].tobytes() for y in range(0, 84, 28) for x in range(0, 84, 28)
    ]


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_answers_are_those_of_the_picture(split):
    pieces = FashionMNIST(split, pipeline=[])
    word_of = {item['img'].tobytes(): CLOTHES[item['gt_label']] for item in pieces}
    canvases = FashionCanvas(split, canvases=NUMBER, pipeline=[])
    assert len(canvases) == NUMBER
    for item in canvases:
        words = [word_of[tile] for tile in tiles(item['img'])]
        assert len(set(words)) == 9
        *_, name, mark = item['question'].split()
        row, column = divmod(words.index(name), 3)
        relation = item['question'].removeprefix('what is ').removesuffix(f' the {name} {mark}')
        beside = {
            'left of': (row, column - 1),
            'right of': (row, column + 1),
            'above': (row - 1, column),
            'below': (row + 1, column),
        }[relation]
        assert min(beside) >= 0
        assert words[3 * beside[0] + beside[1]] == item['gt_answer']
        assert CLOTHES[item['gt_label']] == item['gt_answer']


def test_words_cover_questions_and_answers():
    items = FashionCanvas('val', canvases=NUMBER, pipeline=[])
    used = {word for item in items for word in (*item['question'].split(), item['gt_answer'])}
    assert used == set(FashionCanvas.WORDS)


def test_no_image_is_in_two_splits_and_a_fraction_has_fewer():
    shown = {
        split: {
            tile
            for item in FashionCanvas(split, canvases=NUMBER, pipeline=[])
            for tile in tiles(item['img'])
        }
        for split in ('train', 'val', 'test')
    }
    assert (
        not shown['train'] & shown['val']
        | shown['val'] & shown['test']
        | shown['train'] & shown['test']
    )
    few = FashionCanvas('train', fraction=0.01, canvases=NUMBER, pipeline=[])
    assert len({tile for item in few for tile in tiles(item['img'])}) <= 250


def test_neither_question_nor_picture_alone_has_the_answer():
    items = FashionCanvas('train', canvases=20_000, pipeline=[]).data_list
    answers = {}
    for item in items:
        answers.setdefault(item['question'], Counter())[item['gt_answer']] += 1
    guessed = sum(max(counts.values()) for counts in answers.values())  # the best of all guesses
    assert guessed / len(items) < 0.16


def test_the_same_arguments_draw_the_same_canvases():
    first, again, other = (
        FashionCanvas('train', seed=s, canvases=20, pipeline=[]) for s in (1, 1, 2)
    )
    assert all((a['img'] == b['img']).all() for a, b in zip(first, again, strict=True))
    assert [item['question'] for item in first] != [item['question'] for item in other]
    fewer = FashionCanvas('train', seed=1, canvases=10, pipeline=[])
    assert all((a['img'] == b['img']).all() for a, b in zip(fewer, first, strict=False))


@pytest.mark.parametrize('wrong', [{'canvases': 0}, {'split': 'teacher'}, {'fraction': 2.0}])
def test_arguments(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        FashionCanvas(**{'split': 'train', **wrong})
