"""The sampled frames, for any length and any number of requested frames."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transmamba_mm.datasets.video import FrameSampler
from transmamba_mm.datasets.video.reader import frame_times
from transmamba_mm.datasets.video.sampling import ROUNDING
from transmamba_mm.errors import UserError

TOTALS = st.integers(1, 500)
NUMBERS = st.integers(1, 40)
SAMPLINGS = st.sampled_from(['uniform', 'random', 'fps'])


def at(fps: float, total: int) -> np.ndarray | None:
    """Times of a video at a constant rate; None for 0."""
    return np.arange(total + 1) / fps if fps else None


@given(TOTALS, NUMBERS, SAMPLINGS, st.sampled_from([0.0, 0.5, 12.5, 29.97]))
def test_indices_exist_ascend_and_only_repeat_at_the_end(total, number, sampling, video_fps):
    indices, mask = FrameSampler(number, sampling)(total, at(video_fps, total))
    assert indices.shape == mask.shape == (number,)
    assert indices.dtype == np.int64 and mask.dtype == bool
    assert indices.min() >= 0 and indices.max() < total
    real = mask.sum()
    assert mask[:real].all() and not mask[real:].any() and real > 0
    assert (np.diff(indices[:real]) > 0).all()
    assert (indices[real:] == indices[real - 1]).all()
    if sampling != 'fps':
        assert real == min(total, number)


@given(TOTALS, NUMBERS)
def test_one_frame_of_each_segment(total, number):
    if total < number:
        total += number
    middles = (np.arange(number) + 0.5) * total / number
    indices, _ = FrameSampler(number, 'uniform')(total, at(25.0, total))
    assert (np.abs(indices + 0.5 - middles) <= 0.5).all()
    edges = np.arange(number + 1) * total // number
    indices, _ = FrameSampler(number, 'random')(total, at(25.0, total))
    assert (edges[:-1] <= indices).all() and (indices < edges[1:]).all()


@given(TOTALS, NUMBERS, SAMPLINGS, st.integers(1, 6))
def test_candidates_hold_what_is_chosen(total, number, sampling, per_segment):
    sampler = FrameSampler(number, sampling, fps=2.0)
    kept = sampler.candidates(total, at(25.0, total), per_segment)
    places, mask = sampler.among(len(kept))
    direct, direct_mask = sampler(total, at(25.0, total))
    assert np.array_equal(mask, direct_mask)
    assert len(kept) <= number * per_segment and (np.diff(kept) > 0).all()
    if sampling != 'random':
        assert np.array_equal(kept[places], direct)


@given(TOTALS, NUMBERS, SAMPLINGS, st.sampled_from([0.4, 3.0, 100.0]))
def test_max_seconds_limits_sampling_to_the_beginning(total, number, sampling, seconds):
    sampler = FrameSampler(number, sampling, max_seconds=seconds)
    shorter = min(total, round(10 * seconds))
    indices, mask = sampler(total, at(10.0, total))
    assert indices.max() < shorter
    assert len(sampler.candidates(total, at(10.0, total), 3)) <= shorter
    if sampling != 'random':
        direct, direct_mask = FrameSampler(number, sampling)(shorter, at(10.0, shorter))
        assert np.array_equal(indices, direct) and np.array_equal(mask, direct_mask)
    if sampling == 'random':  # of frames that are kept, none is too late
        assert sampler.among(500)[0].max() >= 500 - 500 // number - 1


def test_uniform_takes_the_middles():
    assert FrameSampler(4)(8, at(25, 8))[0].tolist() == [1, 3, 5, 7]
    assert FrameSampler(2)(100, at(25, 100))[0].tolist() == [25, 75]
    indices, mask = FrameSampler(5)(3, at(25, 3))
    assert indices.tolist() == [0, 1, 2, 2, 2] and mask.tolist() == [True] * 3 + [False] * 2


def test_at_frames_per_second():
    assert FrameSampler(4, 'fps')(100, at(25, 100))[0].tolist() == [0, 25, 50, 75]
    assert FrameSampler(3, 'fps')(250, at(25, 250))[0].tolist() == [0, 100, 225]
    indices, mask = FrameSampler(4, 'fps')(60, at(25, 60))
    assert indices.tolist() == [0, 25, 50, 50] and mask.tolist() == [True] * 3 + [False]
    assert FrameSampler(4, 'fps', fps=50)(4, at(25, 4))[0].tolist() == [0, 1, 2, 3]
    assert FrameSampler(4, 'fps')(4)[0].tolist() == [0, 1, 2, 3]


@given(st.lists(st.integers(0, 60_000), min_size=1, max_size=200), st.sampled_from([0.3, 1.0, 7.0]))
def test_every_frame_at_a_tick_is_the_one_that_is_shown(milliseconds, fps):
    """Arbitrary times, also equal ones: exactly the frames shown at k / fps, once each."""
    starts = np.sort(milliseconds) / 1000
    times = frame_times(starts)
    indices, mask = FrameSampler(500, 'fps', fps=fps)(len(starts), times)
    ticks = np.arange(int(times[-1] * fps) + 2) / fps
    shown = {
        int(np.searchsorted(times[:-1], tick + ROUNDING, 'right')) - 1
        for tick in ticks
        if tick + ROUNDING < times[-1]
    }
    # among frames of one time only the last is shown
    assert set(indices[mask]) == shown


def test_random_reaches_every_frame_and_follows_the_seed():
    sampler = FrameSampler(3, 'random')
    np.random.seed(1)
    first = [sampler(12, at(25, 12))[0].tolist() for _ in range(200)]
    assert {index for indices in first for index in indices} == set(range(12))
    np.random.seed(1)
    assert [sampler(12, at(25, 12))[0].tolist() for _ in range(200)] == first


@pytest.mark.parametrize(
    ('options', 'word'),
    [
        ((0,), 'num_frames=0'),
        ((4, 'dense'), "'dense'"),
        ((4, 'fps', 0.0), 'fps=0'),
        ((4, 'fps', 1.0, 0.0), 'max_seconds=0'),
    ],
)
def test_mistakes(options, word):
    with pytest.raises(UserError, match=word):
        FrameSampler(*options)
