"""A contact sheet shows the frames, ranks, scores and names of the hits."""

import os
import warnings

import numpy as np
import pytest
from matplotlib import image
from matplotlib import pyplot as plt

from tests.datasets.video.clips import number_of, turn, write_clip, write_frames
from transmamba_mm.apis.contact_sheet import GAP, HEIGHT, ROWS, draw_hits, film_strip
from transmamba_mm.apis.search_videos import Hit


@pytest.fixture
def drawn(monkeypatch):
    """Keep figures open for inspection."""
    kept = []
    monkeypatch.setattr(plt, 'close', kept.append)
    yield kept
    monkeypatch.undo()
    plt.close('all')


def test_a_strip_holds_frames_at_even_distances(tmp_path):
    strip = film_strip(str(write_clip(tmp_path / 'a.mp4', 24)), 4)
    assert strip.shape == (HEIGHT, 4 * 2 * HEIGHT + 3 * GAP, 3)
    step = 2 * HEIGHT + GAP
    pictures = [strip[:, i * step : i * step + 2 * HEIGHT] for i in range(4)]
    assert [number_of(picture) for picture in pictures] == [3, 9, 15, 21]
    assert strip[:, 2 * HEIGHT : step].min() == 255
    # A short video is not filled up, and one that was filmed upright stands.
    assert film_strip(str(write_clip(tmp_path / 'b.mp4', 2)), 4).shape[1] == 2 * 2 * HEIGHT + GAP
    upright = film_strip(str(turn(write_clip(tmp_path / 'c.mp4', 3))), 3)
    assert upright.shape == (HEIGHT, 3 * HEIGHT // 2 + 2 * GAP, 3)


def test_titles_name_the_hits(tmp_path, drawn):
    write_clip(tmp_path / '$a$ b.mp4')
    write_frames(tmp_path / 'frames')
    found = {
        'costs $5 or $6': [Hit('$a$ b.mp4', 0.75), Hit('frames', -0.5)],
        'two': [Hit('frames', 0.25)],
    }
    draw_hits(found, tmp_path, tmp_path / 'sub' / 'sheet.png')
    (figure,) = drawn
    titles = [axes.get_title(loc='left').split(maxsplit=2) for axes in figure.get_axes()]
    assert titles == [
        ['1', '0.750', '$a$ b.mp4'],
        ['2', '-0.500', 'frames'],
        ['1', '0.250', 'frames'],
    ]
    assert [part.get_suptitle() for part in figure.subfigs] == list(found)
    strip = film_strip(str(tmp_path / 'frames'), 5)
    assert np.array_equal(figure.get_axes()[1].get_images()[0].get_array(), strip)
    pixels = image.imread(tmp_path / 'sub' / 'sheet.png')
    assert min(pixels.shape[:2]) > 300 and pixels.std() > 0.1


def test_texts_and_names_that_are_hard_to_write(tmp_path, drawn):
    name = os.fsdecode(b'bad\xff $\\frac{x$.mp4')  # not UTF-8, and no mathematics
    warnings.simplefilter('error')  # of letters that the font lacks
    write_clip(tmp_path / 'plain.mp4', 4).rename(tmp_path / name)
    found = {r'七 $\frac{x$ b': [Hit(name, 0.5)], 'seven ' * 100: [Hit(name, 0.25)]}
    draw_hits(found, tmp_path, tmp_path / 'sheet.png')
    (figure,) = drawn
    first, long = (part.get_suptitle() for part in figure.subfigs)
    assert first == r'七 $\frac{x$ b'
    assert len(long.splitlines()) == 2 and long.startswith('seven seven') and long.endswith('...')
    assert figure.get_axes()[0].get_title(loc='left').endswith('bad\ufffd $\\frac{x$.mp4')


def test_many_hits_are_cut_and_a_lost_video_is_named(tmp_path, drawn):
    write_clip(tmp_path / 'a.mp4', 2, width=32)
    draw_hits({'a': [Hit('a.mp4', 0)] * (ROWS + 5)}, tmp_path, tmp_path / 'sheet.png', frames=1)
    assert len(drawn[0].get_axes()) == ROWS
    draw_hits({'a': [Hit('gone.mp4', 0)]}, tmp_path, tmp_path / 'sheet.png')
    (place,) = drawn[1].get_axes()
    assert place.get_title(loc='left').endswith('gone.mp4')
