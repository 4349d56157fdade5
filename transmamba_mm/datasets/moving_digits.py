"""Moving handwritten digits: the content of a video, its captions and its frames."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from transmamba_mm.checks import Number, check, one_of
from transmamba_mm.datasets.digits import split_digits
from transmamba_mm.errors import UserError

#: Number of each split among the random seeds.
SPLITS = {'train': 0, 'test': 1, 'val': 2}
SIDE = 64  # pixels of a frame
FRAMES = 16
FPS = 8
DIGITS = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
HORIZONTAL = {'left': (-1, 0), 'right': (1, 0)}  # (x, y) of one step
VERTICAL = {'up': (0, -1), 'down': (0, 1)}
DIRECTIONS = {**HORIZONTAL, **VERTICAL}
#: One move, or two that differ in axis.
PATHS: tuple[tuple[str, ...], ...] = (
    *((first,) for first in DIRECTIONS),
    *itertools.product(HORIZONTAL, VERTICAL),
    *itertools.product(VERTICAL, HORIZONTAL),
)
#: Range of the image's side, in pixels. The classes are far apart, so no label is ambiguous.
SIZES = {'small': (15, 18), 'large': (25, 28)}
#: Range of pixels per frame. The fastest of the largest still finds room for one long move.
SPEEDS = {'slowly': (0.8, 1.1), 'quickly': (2.0, 2.3)}
SIZE_WORDS = {'small': ('small', 'little'), 'large': ('large', 'big')}
#: Caption templates, and the conjunction between the two moves of a path.
TEMPLATES = (
    ('a {size} {digit} moves {speed} {path}', ', then '),
    ('the {size} digit {digit} goes {path} {speed}', ' and then '),
    ('a {size} handwritten {digit} {speed} moving {path}', ', then '),
    ('a {size} number {digit} {speed} slides {path}', ' before turning '),
)
#: Every word of the captions, for a tokenizer of words.
WORDS = (
    *(',', 'a', 'and', 'before', 'digit', 'goes', 'handwritten', 'moves', 'moving', 'number'),
    *('slides', 'the', 'then', 'turning', 'small', 'little', 'large', 'big'),
    *(*SPEEDS, *DIRECTIONS, *DIGITS),
)


@dataclass(frozen=True)
class Meaning:
    """The content of a video and of each of its captions."""

    digit: int
    size: str
    speed: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return ' '.join((self.size, DIGITS[self.digit], self.speed, *self.path))


#: 480: 10 digits, 2 sizes, 2 speeds, 12 paths.
MEANINGS = tuple(Meaning(*parts) for parts in itertools.product(range(10), SIZES, SPEEDS, PATHS))


@dataclass(frozen=True)
class MovingDigit:
    """One video: its meaning, which of the 1,797 images moves, and the seed of all the rest."""

    meaning: Meaning
    image: int
    seed: tuple[int, ...]


def plan(split: str, number: int, seed: int = 0) -> Iterator[MovingDigit]:
    """Plan the videos of a split.

    The digits are those of the same split of ``Digits``, so that no image is in two splits. No two
    videos to choose or to test on mean the same, so that each caption has one true video. Training
    cycles through all meanings, in another order each time.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``.
        number: How many videos. More only add to fewer.
        seed: Of all random choices.

    Raises:
        UserError: On an unknown split, no videos, or, but for training, more videos than meanings.
    """
    check('MovingDigits', 'split', split, one_of(*SPLITS))
    # One video for each meaning, to choose or to test on.
    most = math.inf if split == 'train' else len(MEANINGS)
    check(f'the {split} videos', 'number', number, Number(1, most, whole=True))
    source = (seed, SPLITS[split])
    rounds = np.random.default_rng(source)
    _, labels, chosen = split_digits(split)
    for index in range(number):
        if index % len(MEANINGS) == 0:
            order = rounds.permutation(len(MEANINGS))
        meaning = MEANINGS[order[index % len(MEANINGS)]]
        own = (*source, index)
        image = np.random.default_rng(own).choice(chosen[labels[chosen] == meaning.digit])
        yield MovingDigit(meaning, int(image), own)


def describe(video: MovingDigit) -> list[str]:
    """Write two or three captions of a video."""
    rng = np.random.default_rng((*video.seed, 1))
    meaning = video.meaning
    captions = []
    for place in rng.permutation(len(TEMPLATES))[: rng.integers(2, 4)]:
        sentence, joint = TEMPLATES[place]
        captions.append(
            sentence.format(
                size=rng.choice(SIZE_WORDS[meaning.size]),
                digit=DIGITS[meaning.digit],
                speed=meaning.speed,
                path=joint.join(meaning.path),
            )
        )
    return captions


def read_meaning(caption: str) -> Meaning:
    """Read the meaning off a caption that :func:`describe` wrote.

    Raises:
        UserError: A caption without a digit, size, speed or path.
    """
    words = caption.replace(',', ' ').split()
    digits = [number for number, word in enumerate(DIGITS) if word in words]
    sizes = [size for size, names in SIZE_WORDS.items() if {*names} & {*words}]
    speeds = [speed for speed in SPEEDS if speed in words]
    path = tuple(word for word in words if word in DIRECTIONS)
    if not (len(digits) == len(sizes) == len(speeds) == 1 and path in PATHS):
        raise UserError(
            f'{caption!r} is no caption of a moving digit: it names one digit, size, speed and '
            'path, as those of make_moving_digits.py do.'
        )
    return Meaning(digits[0], sizes[0], speeds[0], path)


def draw(video: MovingDigit, images: np.ndarray) -> np.ndarray:
    """Draw the frames.

    Args:
        video: What they show.
        images: (1797, 8, 8), uint8, as ``split_digits`` gives them.

    Returns:
        np.ndarray: (16, 64, 64), uint8: a bright digit before a dark background that stands still.
    """
    rng = np.random.default_rng((*video.seed, 2))
    side = rng.uniform(*SIZES[video.meaning.size])
    way = _way(video.meaning.path) * rng.uniform(*SPEEDS[video.meaning.speed])  # (16, 2) x, y
    start = rng.uniform(-way.min(0), SIDE - side - way.max(0))
    clouds = Image.fromarray(rng.integers(0, 60, (6, 6), np.uint8))
    background = np.asarray(clouds.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    # a dark rim, as the ink of many digits ends at the border of their image
    digit = Image.fromarray(np.pad(images[video.image], 1))
    scale = images.shape[-1] / side
    frames = []
    for x, y in start + way:
        back = (scale, 0, 1 - x * scale, 0, scale, 1 - y * scale)  # from a frame to the digit
        frames.append(
            digit.transform((SIDE, SIDE), Image.Transform.AFFINE, back, Image.Resampling.BICUBIC)
        )
    return np.maximum(np.stack(frames), background)


def _way(path: tuple[str, ...]) -> np.ndarray:
    """Position of each frame after moves of equal length: (16, 2) x, y, in steps of one frame."""
    length = (FRAMES - 1) / len(path)
    steps = np.arange(FRAMES)[:, None]
    return sum(
        np.clip(steps - place * length, 0, length) * np.array(DIRECTIONS[direction])
        for place, direction in enumerate(path)
    )
