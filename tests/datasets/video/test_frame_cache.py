"""The cache gives back what was put in, stays below its limit, and survives bad disks."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from tests.datasets.video.clips import number_of, write_clip, write_frames
from transmamba_mm.datasets.video import DecodeVideo, FrameCache
from transmamba_mm.datasets.video.frame_cache import ClipInfo
from transmamba_mm.errors import UserError

CLIP_BYTES = 10 * 20 * 20 * 3


def clip(seed: int, frames: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, 20, 20, 3), np.uint8)


def info(frames: int = 10) -> ClipInfo:
    return ClipInfo(tuple(range(0, 2 * frames, 2)), (40, 40))


def put(cache: FrameCache, *seeds: int) -> None:
    for seed in seeds:
        cache.put(key(seed), clip(seed), info())


def key(seed: int) -> str:
    return f'{seed:02d}' * 20


def size_of(cache: FrameCache) -> int:
    return sum(file.stat().st_size for file in cache.folder.glob('*/*.safetensors'))


def test_gives_back_what_was_put(tmp_path):
    cache = FrameCache(str(tmp_path / 'new/cache'), max_gb=1)
    assert cache.get(key(1)) is None
    put(cache, 1)
    found = cache.get(key(1))
    assert found.info == info()
    assert np.array_equal(found.read([9, 0, 0, 4]), clip(1)[[9, 0, 0, 4]])


def test_evicts_what_was_used_longest_ago(tmp_path):
    cache = FrameCache(str(tmp_path), max_gb=4.8 * CLIP_BYTES / 1e9)
    put(cache, 1, 2, 3, 4)
    for age, seed in enumerate((1, 4, 3, 2)):  # 2 was used longest ago
        file = next(cache.folder.glob(f'*/{key(seed)}*'))
        os.utime(file, ns=(0, file.stat().st_mtime_ns - age * 10**9))
    held = cache.get(key(3))  # and 3 just now
    put(cache, 5)
    assert [seed for seed in range(1, 6) if cache.get(key(seed))] == [1, 3, 4, 5]
    assert size_of(cache) <= cache.max_bytes
    put(cache, 6, 7, 8, 9, 10)
    assert size_of(cache) <= cache.max_bytes
    assert np.array_equal(held.read([1]), clip(3)[[1]])  # deleted, and still read


def test_clip_larger_than_the_limit_is_not_kept(tmp_path):
    cache = FrameCache(str(tmp_path), max_gb=0.5 * CLIP_BYTES / 1e9)
    put(cache, 1)
    assert cache.get(key(1)) is None and not list(tmp_path.glob('*.tmp'))


@pytest.mark.parametrize('harm', ['cut', 'noise', 'empty'])
def test_corrupted_entries_are_dropped(tmp_path, harm):
    cache = FrameCache(str(tmp_path), max_gb=1)
    put(cache, 1)
    (file,) = cache.folder.glob('*/*.safetensors')
    whole = file.read_bytes()
    file.write_bytes({'cut': whole[:-100], 'noise': os.urandom(2000), 'empty': b''}[harm])
    assert cache.get(key(1)) is None
    assert not file.exists()
    put(cache, 1)
    assert np.array_equal(cache.get(key(1)).read(range(10)), clip(1))


def test_files_of_dead_processes_go(tmp_path):
    cache = FrameCache(str(tmp_path), max_gb=2.5 * CLIP_BYTES / 1e9)
    old, fresh = tmp_path / 'old.tmp', tmp_path / 'fresh.tmp'
    for file in (old, fresh):
        file.write_bytes(b'half a clip')
    os.utime(old, (0, 0))
    put(cache, 1, 2, 3)
    assert fresh.exists() and not old.exists()


def fill(folder: str, first: int) -> None:
    cache = FrameCache(folder, max_gb=6.5 * CLIP_BYTES / 1e9)
    for round_ in range(3):
        for seed in range(first, first + 6):
            found = cache.get(key(seed))
            if found:
                assert np.array_equal(found.read(range(10)), clip(seed)), round_
            else:
                put(cache, seed)


def test_several_processes_share_it(tmp_path):
    with ProcessPoolExecutor(2, mp_context=get_context('fork')) as pool:
        for job in [pool.submit(fill, str(tmp_path), first) for first in (0, 3)]:
            job.result()
    cache = FrameCache(str(tmp_path), max_gb=6.5 * CLIP_BYTES / 1e9)
    assert 0 < size_of(cache) <= cache.max_bytes
    assert int((tmp_path / 'total_bytes').read_text()) <= cache.max_bytes
    assert not list(tmp_path.glob('*.tmp'))


def numbers(step: DecodeVideo, path: str) -> list[int]:
    result = step({'video_path': path})
    seen = [number_of(frame) for frame in result['clip']]
    assert seen == result['frame_indices'].tolist()
    return seen


@pytest.mark.parametrize('sampling', ['uniform', 'fps'])
@pytest.mark.parametrize('frames', [24, 3])
def test_pipeline_is_the_same_with_it(tmp_path, sampling, frames):
    path = str(write_clip(tmp_path / 'clip.mp4', frames))
    options = {'num_frames': 5, 'sampling': sampling, 'size': 16, 'fps': 2.0}
    plain = DecodeVideo(**options)({'video_path': path})
    step = DecodeVideo(**options, cache={'dir': str(tmp_path / 'cache'), 'max_gb': 1})
    for _ in ('cold', 'warm'):
        result = step({'video_path': path})
        assert result.keys() == plain.keys()
        for name, value in plain.items():
            assert np.array_equal(result[name], value), name
    (file,) = step.cache.folder.glob('*/*.safetensors')
    assert file.stat().st_size < 5 * 16 * 32 * 3 + 400


def test_random_stays_random(tmp_path):
    path = str(write_clip(tmp_path / 'clip.mp4', 24))
    cache = {'dir': str(tmp_path / 'cache'), 'max_gb': 1, 'frames_per_segment': 3}
    step = DecodeVideo(4, 'random', cache=cache)
    np.random.seed(0)
    drawn = [numbers(step, path) for _ in range(60)]
    assert len({tuple(one) for one in drawn}) > 30
    kept = set(step.sampler.candidates(24, None, 3).tolist())
    assert {index for one in drawn for index in one} == kept and len(kept) == 12
    (_,) = step.cache.folder.glob('*/*.safetensors')


def test_changed_files_are_decoded_again(tmp_path):
    step = DecodeVideo(3, cache={'dir': str(tmp_path / 'cache'), 'max_gb': 1})
    path = str(write_clip(tmp_path / 'clip.mp4', 24))
    assert numbers(step, path) == [4, 12, 20]
    write_clip(tmp_path / 'clip.mp4', 12)
    assert numbers(step, path) == [2, 6, 10]
    folder = write_frames(tmp_path / 'frames', 6)
    assert numbers(step, str(folder)) == [1, 3, 5]
    (folder / 'frame5.png').unlink()
    assert numbers(step, str(folder)) == [0, 2, 4]


def test_mistakes(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=r'(max_gb|frames_per_segment)=.* of FrameCache has to be'):
        FrameCache(str(tmp_path), max_gb=0)
    with pytest.raises(UserError, match='cannot be made'):
        FrameCache(str(tmp_path / 'file'), max_gb=1)
