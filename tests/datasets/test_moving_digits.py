"""Moving digits: split by image, the same for a seed, and matching their captions."""

import sys
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from transmamba_mm.datasets.digits import split_digits
from transmamba_mm.datasets.moving_digits import (
    DIGITS,
    DIRECTIONS,
    MEANINGS,
    SIZE_WORDS,
    SIZES,
    WORDS,
    MovingDigit,
    describe,
    draw,
    plan,
    read_meaning,
)
from transmamba_mm.datasets.video import DecodeVideo
from transmamba_mm.datasets.video.write_video import write_video
from transmamba_mm.errors import UserError
from transmamba_mm.registry import TOKENIZERS

IMAGES, LABELS, _ = split_digits('train')


def test_no_image_of_a_digit_is_in_two_splits():
    counts = {'train': 3000, 'val': 480, 'test': 480}
    used = {split: {v.image for v in plan(split, number)} for split, number in counts.items()}
    for split, images in used.items():
        assert images <= set(split_digits(split)[2].tolist())
    pixels = {split: {IMAGES[i].tobytes() for i in images} for split, images in used.items()}
    for first, second in combinations(pixels.values(), 2):
        assert not first & second
    assert len(pixels['train']) > 1000 and len(pixels['val']) > 200 < len(pixels['test'])


@pytest.mark.parametrize('split', ['val', 'test'])
def test_videos_of_no_training_differ_in_meaning(split):
    videos = list(plan(split, len(MEANINGS)))
    assert len({video.meaning for video in videos}) == len(MEANINGS) == 480
    texts = [text for video in videos for text in describe(video)]
    assert len(set(texts)) == len(texts)


def test_training_goes_round_all_meanings():
    train = Counter(video.meaning for video in plan('train', 1000))
    assert set(train.values()) == {2, 3}
    assert all(LABELS[video.image] == video.meaning.digit for video in plan('train', 50))


def test_same_seed_same_videos_and_more_only_add():
    few, many = list(plan('train', 20, seed=3)), list(plan('train', 600, seed=3))
    assert few == many[:20]
    assert describe(few[0]) == describe(many[0])
    assert (draw(few[0], IMAGES) == draw(many[0], IMAGES)).all()
    other = next(plan('train', 1, seed=4))
    assert not np.array_equal(draw(few[0], IMAGES), draw(other, IMAGES))


def test_captions_use_the_vocabulary_and_all_of_it():
    tokenizer = TOKENIZERS.build({'type': 'WordTokenizer', 'words': 'MovingDigits'})
    texts = [text for video in plan('train', 960) for text in describe(video)]
    numbers = {number for text in texts for number in tokenizer(text)['input_ids']}
    assert {tokenizer.decode([number]) for number in numbers} == set(WORDS)
    assert {len(describe(video)) for video in plan('train', 50)} == {2, 3}


def test_the_meaning_of_a_caption_can_be_read():
    for video in plan('train', len(MEANINGS)):
        assert {read_meaning(text) for text in describe(video)} == {video.meaning}


@pytest.mark.parametrize(
    'caption',
    [
        *(
            '',
            'a small seven moves left',
            'a seven moves slowly left',
            'a small seven moves slowly',
        ),
        *('a small one and two move slowly left', 'a small seven moves slowly left then right'),
    ],
)
def test_what_is_no_caption_of_a_digit(caption):
    with pytest.raises(UserError, match='no caption of a moving digit'):
        read_meaning(caption)


def read_caption(text: str) -> tuple[int, str, list[str]]:
    """Read the digit, the size and the directions off a caption, as a person would."""
    words = text.replace(',', ' ').split()
    size = next(size for size, names in SIZE_WORDS.items() if set(names) & set(words))
    number = next(DIGITS.index(word) for word in words if word in DIGITS)
    return number, size, [word for word in words if word in DIRECTIONS]


def look(clip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position of the bright digit in each frame, (T, 2) x, y, and its larger side."""
    centers, sides = [], []
    for frame in clip[..., 0]:
        rows, columns = np.nonzero(frame > 110)
        centers.append((columns.mean(), rows.mean()))
        sides.append(max(np.ptp(rows), np.ptp(columns)) + 1)
    return np.array(centers), np.array(sides)


@pytest.fixture(scope='module')
def watched(tmp_path_factory) -> list[tuple[MovingDigit, np.ndarray]]:
    """Sixty planned videos, written as mp4 and decoded again, all of their frames."""
    folder = tmp_path_factory.mktemp('digits')
    decode = DecodeVideo(num_frames=16, size=64, on_bad='raise')
    videos = []
    for number, video in enumerate(plan('test', 60)):
        path = folder / f'{number}.mp4'
        write_video(path, draw(video, IMAGES), fps=8)
        videos.append((video, decode.transform({'video_path': str(path)})['clip']))
    return videos


def test_decoded_videos_move_as_in_their_captions(watched):
    for video, clip in watched:
        centers, _ = look(clip)
        for text in describe(video):
            number, _, path = read_caption(text)
            assert number == LABELS[video.image]
            legs = [centers] if len(path) == 1 else [centers[:8], centers[8:]]
            for leg, direction in zip(legs, path, strict=True):
                moved = leg[-1] - leg[0]
                along = moved @ np.array(DIRECTIONS[direction])
                assert along > 4, text
                assert abs(moved).sum() < along + 1.5, text  # and nowhere else


def test_sizes_and_speeds_of_captions_are_separable_in_the_frames(watched):
    sides = {size: [] for size in SIZES}
    paces: dict[str, list[float]] = {'slowly': [], 'quickly': []}
    for video, clip in watched:
        centers, side = look(clip)
        _, size, _ = read_caption(describe(video)[0])
        sides[size].append(side.mean())
        paces[video.meaning.speed].append(abs(np.diff(centers, axis=0)).sum(1).mean())
        assert video.meaning.speed in describe(video)[0].split()
    assert max(sides['small']) < min(sides['large'])
    assert max(paces['slowly']) < 0.75 * min(paces['quickly'])


def test_frames_hold_the_whole_digit_before_a_dark_background(watched):
    for video, clip in watched:
        frames = draw(video, IMAGES)
        assert frames.shape == (16, 64, 64) and frames.dtype == np.uint8
        assert 0.01 < (frames > 110).mean() < 0.2
        ink = (frames > 110).sum((1, 2))
        assert ink.min() > 0.85 * ink.max()  # nothing of it leaves the frame
        assert abs(clip[..., 0].astype(int) - frames).mean() < 4  # of 255, after H.264
        assert np.ptp(clip.astype(int), axis=-1).max() <= 2  # gray


def test_missing_package_names_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'av', None)
    with pytest.raises(UserError, match='pip install av'):
        write_video(tmp_path / 'clip.mp4', np.zeros((2, 64, 64), np.uint8), fps=8)


@pytest.mark.parametrize(
    ('split', 'number', 'word'),
    [('valid', 3, "split='valid'"), ('train', 0, 'number=0'), ('val', 481, '480')],
)
def test_plans_that_cannot_be(split, number, word):
    with pytest.raises(UserError, match=word):
        list(plan(split, number))
