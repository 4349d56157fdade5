"""Every reader returns the same frames of a file, for every kind of file."""

import numpy as np
import pytest
from PIL import Image

from tests.datasets.video.clips import (
    BACKENDS,
    number_of,
    paint,
    skip_start,
    turn,
    write_animation,
    write_clip,
)
from transmamba_mm.datasets.image_pixels import UPRIGHT
from transmamba_mm.datasets.video import DecodeVideo, VideoError, open_video

WEBM = {'codec': 'libvpx-vp9', 'options': {'crf': '10', 'b': '0', 'deadline': 'realtime'}}
MJPEG = {'codec': 'mjpeg', 'pixels': 'yuvj420p', 'options': {'qmin': '1', 'q': '1'}}
ALTREF = {'auto-alt-ref': '1', 'lag-in-frames': '16', 'crf': '4', 'b': '1M', 'deadline': 'good'}


def write_folder(folder, kind):
    """Write frames as a folder of jpgs that ask to be turned, or of 16-bit gray pngs."""
    folder.mkdir()
    for index in range(24):
        image = Image.fromarray(paint(index))
        if kind == 'orientation':
            exif = Image.Exif()
            exif[0x0112] = 6
            image.transpose(UPRIGHT[8]).save(folder / f'{index}.jpg', exif=exif, quality=95)
        else:
            gray = np.asarray(image.convert('L')).astype(np.uint16) * 257
            Image.fromarray(gray).save(folder / f'{index}.png')
    return folder


KINDS = {
    'mp4': lambda d: write_clip(d / 'a.mp4'),
    'mov, prores': lambda d: write_clip(d / 'a.mov', codec='prores_ks', pixels='yuv422p10le'),
    'mkv': lambda d: write_clip(d / 'a.mkv'),
    'mkv, hevc': lambda d: write_clip(d / 'a.mkv', codec='libx265', options={'crf': '8'}),
    'mp4, av1': lambda d: write_clip(d / 'a.mp4', codec='libsvtav1', options={'crf': '10'}),
    'mp4, 10 bits': lambda d: write_clip(d / 'a.mp4', pixels='yuv420p10le'),
    'mp4, 4:4:4': lambda d: write_clip(d / 'a.mp4', pixels='yuv444p'),
    'webm, vp9': lambda d: write_clip(d / 'a.webm', **WEBM),
    'webm, vp8': lambda d: write_clip(d / 'a.webm', codec='libvpx', options=ALTREF),
    'avi': lambda d: write_clip(d / 'a.avi', codec='mpeg4', options={'q': '2', 'qmax': '2'}),
    'wmv': lambda d: write_clip(d / 'a.wmv', codec='wmv2', options={'b': '4M'}),
    'mpg': lambda d: write_clip(d / 'a.mpg', fps=25, codec='mpeg2video', options={'b': '4M'}),
    'ts': lambda d: write_clip(d / 'a.ts', fps=25),
    'raw h264': lambda d: write_clip(d / 'a.h264', fps=25),
    'mjpeg': lambda d: write_clip(d / 'a.mjpeg', fps=25, **MJPEG),
    'mjpeg, large': lambda d: write_clip(d / 'a.mjpeg', fps=25, width=3000, **MJPEG),
    'mjpeg, no suffix': lambda d: write_clip(d / 'a.mjpeg', fps=25, **MJPEG).rename(d / 'a'),
    'gif': lambda d: write_animation(d / 'a.gif', milliseconds=120),
    'webp': lambda d: write_animation(d / 'a.webp'),
    'png': lambda d: write_animation(d / 'a.png'),
    'avif': lambda d: write_animation(d / 'a.avif'),
    'cover': lambda d: write_clip(d / 'a.mkv', cover='unmarked'),
    'cover, mp4': lambda d: write_clip(d / 'a.mp4', cover='unmarked'),
    'marked cover, mp4': lambda d: write_clip(d / 'a.mp4', cover='marked'),
    **{
        f'turned by {degrees}': lambda d, n=degrees: turn(write_clip(d / 'a.mp4'), n)
        for degrees in (90, 180, 270)
    },
    'wrong suffix': lambda d: write_clip(d / 'a.mkv').rename(d / 'a.avi'),
    'colon in its name': lambda d: write_clip(d / 'a:b.mp4'),
    'folder, orientation': lambda d: write_folder(d / 'a', 'orientation'),
    'folder, 16 bits': lambda d: write_folder(d / 'a', '16 bits'),
}


@pytest.mark.parametrize('kind', KINDS)
def test_every_reader_gives_the_same_frames(tmp_path, monkeypatch, kind):
    path = KINDS[kind](tmp_path)
    monkeypatch.chdir(tmp_path)
    quarters = int(kind.split()[-1]) // 90 if kind.startswith('turned') else 0
    width = 3000 if 'large' in kind else 64
    wanted = [np.rot90(paint(index, width=width), -quarters) for index in range(24)]
    read = {}
    for backend in ('auto', *BACKENDS):
        with open_video(path.name, backend) as video:
            assert len(video) == 24
            assert video.shape == wanted[0].shape[:2]
            if video.times is not None:
                assert len(video.times) == 25 and video.times[0] == 0
                assert np.abs(np.diff(video.times) - 1 / video.fps).max() < 0.002
            frames = video.read(range(24))
            assert np.array_equal(video.read([17, 3]), frames[[17, 3]])
        assert [number_of(np.rot90(frame, quarters)) for frame in frames] == [*range(24)]
        assert np.abs(frames.astype(int) - wanted).mean() < 6
        read[backend] = frames.astype(int)
    for backend in BACKENDS:
        assert np.abs(read[backend] - read['auto']).mean() < 1


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('kind', ['one', 'marked', 'photo'])
def test_a_photo_is_no_video(tmp_path, backend, kind):
    """A phone stores further pictures behind one; FFmpeg's stream of jpgs starts alike."""
    pictures = [Image.fromarray(paint(index)) for index in (3, 5)]
    path = tmp_path / ('a.jpg' if kind == 'photo' else 'a')
    if kind == 'marked':
        pictures[0].save(path, 'MPO', save_all=True, append_images=pictures[1:])
    else:
        for picture in pictures:
            picture.save(tmp_path / 'b', 'JPEG')
            with path.open('ab') as file:
                file.write((tmp_path / 'b').read_bytes())
            if kind == 'one':
                break
    with open_video(str(path), backend) as video:
        assert len(video) == 1 and video.times is None
        assert number_of(video.read([0])[0]) == 3


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'mov', 'webm', 'ts', 'flv', 'webp', 'avif'])
def test_seconds_are_the_frames_own(tmp_path, backend, suffix):
    """Bursts of frames between the seconds, and a first frame that is not at 0."""
    times = sorted([*range(10), 0.03, 0.1, 0.5, 4.2, 4.4, 4.6, 4.8, 9.03, 9.1])
    path = tmp_path / f'a.{suffix}'
    if suffix in ('webp', 'avif'):
        write_animation(path, len(times), [round(1000 * t) for t in (*np.diff(times), 0.1)])
    else:
        codec = WEBM if suffix == 'webm' else {}
        write_clip(path, times=[1.5 + time for time in times], fps=1000, **codec)
    with open_video(str(path), backend) as video:
        assert np.abs(video.times[:-1] - times).max() < 0.002
    decode = DecodeVideo(10, 'fps', backend=backend, on_bad='raise')
    result = decode({'video_path': str(path)})
    assert [times[i] for i in result['frame_indices']] == [*range(10)]
    assert [times[number_of(frame)] for frame in result['clip']] == [*range(10)]
    decode = DecodeVideo(30, backend=backend, max_seconds=4.5, on_bad='raise')
    result = decode({'video_path': str(path)})
    chosen = result['frame_indices'][result['frame_mask']]
    assert [times[i] for i in chosen] == [time for time in times if time < 4.5]


@pytest.mark.parametrize('backend', BACKENDS)
def test_an_edit_list_that_skips_the_start(tmp_path, backend):
    path = skip_start(write_clip(tmp_path / 'a.mp4'), 1)
    with open_video(str(path), backend) as video:
        assert [number_of(frame) for frame in video.read(range(len(video)))] == [*range(8, 24)]
        assert np.allclose(video.times, np.arange(17) / 8)


def test_a_folder_counts_as_taken_at_the_rate_asked_for(tmp_path):
    folder = write_folder(tmp_path / 'a', '16 bits')
    decode = DecodeVideo(5, 'fps', fps=2, max_seconds=2)
    assert decode({'video_path': str(folder)})['frame_indices'].tolist() == [0, 1, 2, 3, 3]


@pytest.mark.parametrize('backend', BACKENDS)
def test_frames_of_too_many_pixels_are_not_decoded(tmp_path, backend):
    for path in (write_clip(tmp_path / 'a.mp4'), write_animation(tmp_path / 'a.webp')):
        DecodeVideo(2, backend=backend, max_megapixels=0.0021)({'video_path': str(path)})
        decode = DecodeVideo(2, backend=backend, max_megapixels=0.002, on_bad='raise')
        with pytest.raises(ValueError, match=r'too large.*64 x 32.*max_megapixels') as caught:
            decode({'video_path': str(path)})
        assert str(path) in str(caught.value)


@pytest.mark.parametrize('backend', BACKENDS)
def test_nor_are_those_with_a_size_in_the_frames_only(tmp_path, backend):
    path = write_clip(tmp_path / 'a.mov', 2, codec='png', pixels='rgb24')
    assert len(open_video(str(path), backend, 0.0021)) == 2
    with pytest.raises(VideoError, match='max_megapixels'):
        open_video(str(path), backend, 0.002)
