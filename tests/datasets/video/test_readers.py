"""Every backend gives the same frame for the same number, and names the fault of a file."""

import pickle

import numpy as np
import pytest
from PIL import Image
from torch._utils import ExceptionWrapper

from tests.datasets.pictures import bad_pictures
from tests.datasets.video.clips import (
    BACKENDS,
    bad_videos,
    number_of,
    samples,
    turn,
    write_clip,
    write_frames,
)
from transmamba_mm.datasets.video import VideoError, open_video
from transmamba_mm.datasets.video.open_video import PACKAGES
from transmamba_mm.datasets.video.video_error import FIXES
from transmamba_mm.errors import UserError

CAUSES = tuple(FIXES.keys() - {'damaged', 'no frames'})


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp('clips') / 'clip.mp4')


@pytest.fixture(scope='module')
def bad(tmp_path_factory):
    return bad_videos(tmp_path_factory.mktemp('bad'))


@pytest.mark.parametrize('backend', BACKENDS)
def test_facts(clip, backend):
    with open_video(str(clip), backend) as video:
        assert len(video) == 24
        assert video.fps == pytest.approx(8)
        assert video.duration == pytest.approx(3)
        assert video.shape == (32, 64)
        assert type(video).__name__ == {'decord': 'DecordReader', 'pyav': 'PyAVReader'}[backend]


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize(
    'indices',
    [range(24), [23], [0, 23], [9, 10, 17], [5, 5, 2, 23, 2], range(23, -1, -1)],
    ids=['all', 'last', 'ends', 'over key frames', 'repeated', 'backward'],
)
def test_exact_frames_with_b_frames(clip, backend, indices):
    with open_video(str(clip), backend) as video:
        frames = video.read(list(indices))
    assert frames.dtype == np.uint8 and frames.shape == (len(indices), 32, 64, 3)
    assert [number_of(frame) for frame in frames] == list(indices)


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('suffix', ['mkv', 'avi', 'mov', 'mpg', 'ts', 'flv'])
def test_other_containers(tmp_path, backend, suffix):
    path = write_clip(tmp_path / f'clip.{suffix}', fps=25)
    with open_video(str(path), backend) as video:
        assert len(video) == 24
        assert [number_of(frame) for frame in video.read([3, 11, 12, 23])] == [3, 11, 12, 23]


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize(
    ('size', 'expected'), [(16, (16, 32)), ((20, 20), (20, 20)), (40, (40, 80)), (None, (32, 64))]
)
def test_size_while_decoding(clip, backend, size, expected):
    with open_video(str(clip), backend) as video:
        for indices in ([4, 20], [0, 3]):
            frames = video.read(indices, size)
            assert frames.shape == (2, *expected, 3)
            assert [number_of(frame) for frame in frames] == indices
        assert video.read([7], (8, 8)).shape == (1, 8, 8, 3)  # another size after it


@pytest.mark.parametrize('width', [16, 34, 48, 52, 96, 100])
def test_narrow_widths(tmp_path, width):
    """decord2 gives frames of some widths with too many channels."""
    path = write_clip(tmp_path / 'clip.mp4', 9, width=width)
    with open_video(str(path), 'decord') as one, open_video(str(path), 'pyav') as other:
        assert np.array_equal(one.read(range(9)), other.read(range(9)))
    with open_video(str(samples()['bikes']), 'decord') as video:
        small = video.read([9], (16, width))
    with open_video(str(samples()['bikes']), 'pyav') as video:
        assert np.abs(small.astype(int) - video.read([9], (16, width))).mean() < 2


@pytest.mark.parametrize('name', sorted(samples()))
def test_sample_clips_decode_alike(name):
    path = str(samples()[name])
    with open_video(path, 'decord') as one, open_video(path, 'pyav') as other:
        assert len(one) == len(other) == {'bikes': 250, 'bigbuckbunny': 132}.get(name, 120)
        assert one.fps == pytest.approx(other.fps) and one.shape == other.shape
        indices = [0, len(one) // 3, len(one) - 1]
        assert np.array_equal(one.read(indices), other.read(indices))
        small = one.read(indices, 112).astype(int) - other.read(indices, 112)
        assert np.abs(small).mean() < 0.5  # grades of 255; a neighboring frame differs by more


@pytest.mark.parametrize('backend', BACKENDS)
def test_sample_clips_equal_their_frames_in_a_folder(tmp_path, backend):
    path = str(samples()['bikes'])
    with open_video(path, backend) as video:
        whole, small = video.read([0, 100, 200]), video.read([0, 100, 200], 64)
    for index, frame in enumerate(whole):
        Image.fromarray(frame).save(tmp_path / f'{index}.png')
    with open_video(str(tmp_path), 'frames') as folder:
        assert np.array_equal(folder.read(range(3)), whole)
        assert np.abs(folder.read(range(3), 64).astype(int) - small).mean() < 1.5


@pytest.mark.parametrize('backend', BACKENDS)
def test_turned_by_a_phone(tmp_path, backend):
    with open_video(str(turn(write_clip(tmp_path / 'turned.mp4'))), backend) as video:
        assert video.shape == (64, 32)
        frames, small = video.read([5, 5, 9]), video.read([9], (32, 16))
    assert frames.shape == (3, 64, 32, 3) and small.shape == (1, 32, 16, 3)
    for image in (frames[2], small[0]):  # the left third is on top now
        third = len(image) // 3
        assert image[: third - 2].mean() < 10 < 50 < image[third + 2 :].mean()


@pytest.mark.parametrize('suffix', ['png', 'jpg'])
def test_frames_in_natural_order(tmp_path, suffix):
    folder = write_frames(tmp_path / 'frames', suffix=suffix)
    (folder / 'notes.txt').write_text('not a frame')
    for backend in ('frames', 'auto', 'pyav'):
        with open_video(str(folder), backend) as video:
            assert len(video) == 12 and video.duration == 0
            assert [number_of(frame) for frame in video.read([1, 2, 10, 11])] == [1, 2, 10, 11]
            assert video.read([7], 8).shape == (1, 8, 16, 3)


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('cause', sorted(CAUSES))
def test_bad_files_are_named_with_cause_and_fix(bad, backend, cause):
    with pytest.raises(VideoError) as caught:
        open_video(str(bad[cause]), backend)
    assert caught.value.cause == cause
    assert caught.value.path == str(bad[cause])
    assert str(bad[cause]) in str(caught.value) and FIXES[cause] in str(caught.value)


@pytest.mark.parametrize('backend', BACKENDS)
def test_damaged_pictures_are_found_when_read(bad, backend):
    with pytest.raises(VideoError) as caught:  # noqa: SIM117  (decord notices at the opening)
        with open_video(str(bad['damaged']), backend) as video:
            video.read(range(len(video)))
    assert caught.value.cause == 'damaged'


BAD_FRAMES = {
    **{'bomb.png': 'too large', 'bomb.gif': 'too large', 'fifo.png': 'damaged'},
    **{'dangling.png': 'damaged', 'device.png': 'damaged', 'empty.png': 'damaged'},
}


def write_bad_frame(folder, name: str):
    """Write a folder of three frames, the middle one bad."""
    frames = write_frames(folder / name.replace('.', '_'), 3)
    (frames / 'folder.png').mkdir()  # no frame
    (source := folder / f'bad_{name}').mkdir()
    bad_pictures(source)
    (source / name).rename(frames / f'frame1a{source.joinpath(name).suffix.replace("gif", "png")}')
    return frames


def test_bad_folders(tmp_path):
    (tmp_path / 'none').mkdir()
    broken = write_frames(tmp_path / 'broken', 3)
    (broken / 'frame1.png').write_bytes((broken / 'frame1.png').read_bytes()[:40])
    file = tmp_path / 'file.mp4'
    file.touch()
    for path, cause in (
        (tmp_path / 'gone', 'missing'),
        (tmp_path / 'none', 'no frames'),
        (file, 'not a video'),
        (broken, 'damaged'),
        *((write_bad_frame(tmp_path, name), cause) for name, cause in BAD_FRAMES.items()),
    ):
        with pytest.raises(VideoError) as caught:  # noqa: SIM117
            with open_video(str(path), 'frames') as video:
                video.read(range(len(video)))
        assert caught.value.cause == cause


def test_error_leaves_a_worker_as_what_it_is(bad):
    try:
        open_video(str(bad['truncated']))
    except VideoError:
        sent = ExceptionWrapper(where='in a worker')  # what a DataLoader's worker does with it
    with pytest.raises(VideoError, match='truncated'):
        pickle.loads(pickle.dumps(sent)).reraise()


@pytest.mark.parametrize('backend', BACKENDS)
def test_frames_that_do_not_exist(clip, backend):
    with open_video(str(clip), backend) as video:
        for indices in ([24], [-1], []):
            with pytest.raises(IndexError, match='frames 0 to 23'):
                video.read(indices)


def test_backend_that_does_not_exist(clip):
    with pytest.raises(UserError, match="backend='opencv'"):
        open_video(str(clip), 'opencv')


@pytest.mark.parametrize(('gone', 'pip'), [('decord', 'decord2'), ('pyav', 'av')])
def test_backend_that_is_not_installed(clip, monkeypatch, gone, pip):
    monkeypatch.setitem(PACKAGES, gone, ('a_package_that_is_not_there', pip))
    for backend in {gone, 'auto'} if gone == 'pyav' else {gone}:
        with pytest.raises(UserError, match=f'pip install {pip}'):
            open_video(str(clip), backend)


def test_pyav_is_the_default(clip):
    with open_video(str(clip)) as video:
        assert type(video).__name__ == 'PyAVReader'


@pytest.mark.parametrize('backend', BACKENDS)
def test_a_stream_of_jpegs_is_a_video(tmp_path, backend):
    path = write_clip(tmp_path / 'clip.mjpeg', codec='mjpeg', pixels='yuvj420p')
    with open_video(str(path), backend) as video:
        assert [number_of(frame) for frame in video.read(range(24))] == list(range(24))
