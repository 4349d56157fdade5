"""Recordings: joined byte by byte, cut within a GOP, with times before 0 or that wrap around."""

from fractions import Fraction
from itertools import chain, repeat

import av
import numpy as np
import pytest

from tests.datasets.video import clips
from tests.datasets.video.clips import BACKENDS, number_of, paint, write_clip
from transmamba_mm.datasets.video import DecodeVideo, VideoError, open_video
from transmamba_mm.datasets.video.check_videos import check_videos
from transmamba_mm.datasets.video.packet_index import PacketIndex
from transmamba_mm.datasets.video.packet_parts import Packet

MPEG2 = {'codec': 'mpeg2video', 'options': {'b': '4M', 'g': '8', 'bf': '2'}}
HEVC = {'codec': 'libx265'}
HEVC_OPEN = {'crf': '8', 'x265-params': 'keyint=8:min-keyint=8:open-gop=1:bframes=3:log-level=none'}
RAW = {'avoid_negative_ts': 'disabled'}


def write_part(path, first, frames, monkeypatch, **options):
    """Write a clip whose first frame is frame ``first`` of a written clip."""
    with monkeypatch.context() as patch:
        patch.setattr(clips, 'paint', lambda index, **size: paint(index + first, **size))
        return write_clip(path, frames, fps=25, **options)


def join(path, *parts):
    path.write_bytes(b''.join(part.read_bytes() for part in parts))
    return path


def remux(source, path, keeps=lambda number: True, delay=0, **options):
    """Copy the packets of ``source`` that are kept, by their number as stored."""
    with av.open(str(source)) as old, av.open(str(path), 'w', **options) as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for number, packet in enumerate(p for p in old.demux(stream) if p.size):
            if keeps(number):
                dts = packet.dts
                packet.pts, packet.dts = packet.pts + delay, None if dts is None else dts + delay
                packet.stream = copy
                new.mux(packet)
    return path


def check(path, backend, wanted, fps=25):
    """Every frame, in order and alone, and increasing times."""
    with open_video(str(path), backend) as video:
        assert [number_of(frame) for frame in video.read(range(len(video)))] == wanted
        alone = [number_of(video.read([i])[0]) for i in reversed(range(len(video)))]
        assert alone[::-1] == wanted
        assert np.abs(np.diff(video.times) - 1 / fps).max() < 0.002


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize(
    ('suffix', 'options'),
    [
        ('ts', {}),
        ('ts', MPEG2),
        ('mpg', MPEG2),
        ('mkv', {}),
        ('webm', {'codec': 'libvpx-vp9', 'options': {'crf': '10', 'b': '0'}}),
        ('h264', {}),
    ],
    ids=['ts', 'ts, mpeg2', 'mpg', 'mkv', 'webm', 'raw h264'],
)
def test_joined_files_give_all_frames_one_after_another(
    tmp_path, monkeypatch, backend, suffix, options
):
    parts = [
        write_part(tmp_path / f'{first}.{suffix}', first, frames, monkeypatch, **options)
        for first, frames in ((0, 20), (20, 9), (29, 9))
    ][: 2 if suffix in ('mkv', 'webm') else 3]  # FFmpeg reads two of Matroska's
    path = join(tmp_path / f'joined.{suffix}', *parts)
    total = 9 * len(parts) + 11
    check(path, backend, [*range(total)])
    decode = DecodeVideo(20, 'fps', fps=12.5, backend=backend, on_bad='raise')
    result = decode({'video_path': str(path)})
    assert result['frame_indices'][result['frame_mask']].tolist() == [*range(0, total, 2)]


def test_a_part_of_later_times_before_one_of_earlier(tmp_path, monkeypatch):
    """FFmpeg takes a step back of more than a minute for a clock that wrapped."""
    first = write_part(tmp_path / 'a.ts', 0, 20, monkeypatch)
    second = write_part(tmp_path / 'b.ts', 20, 12, monkeypatch)
    for seconds in (30, 3600):
        late = remux(first, tmp_path / 'late.ts', delay=90000 * seconds)
        check(join(tmp_path / 'joined.ts', late, second), 'pyav', [*range(32)])


def test_a_joined_recording_that_begins_within_a_gop(tmp_path, monkeypatch):
    whole = write_part(tmp_path / 'a.ts', 0, 24, monkeypatch)
    cut = remux(whole, tmp_path / 'b.ts', lambda number: number >= 3)
    check(join(tmp_path / 'joined.ts', whole, cut), 'pyav', [*range(24), *range(8, 24)])


def test_decode_times_that_go_back_a_little_are_no_joint():
    """Some encoders write pts in place of dts."""
    order = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]
    packets = [Packet(t, t, t % 9 == 0, number=i) for i, t in enumerate(order)]
    index = PacketIndex(packets, 'mpegts', Fraction(1, 25), 25.0)
    assert index.stamps == [*range(10)] and index.keys == [0, 9] and not index.moved


def test_parts_of_packets_without_pts():
    """Only dts: frames are counted, and what comes before a key frame is left out."""
    dts, keys = [5, 6, 7, 8, 1, 2, 3, 4], (0, 4, 6)
    packets = [Packet(None, time, i in keys, number=i) for i, time in enumerate(dts)]
    index = PacketIndex(packets, 'mpeg', Fraction(1, 25), 25.0)
    assert np.allclose(index.times, np.arange(9) / 25) and [*index.moved] == [*range(8)]
    cut = [packet._replace(is_key=packet.number in (2, 4)) for packet in packets]
    index = PacketIndex(cut, 'mpeg', Fraction(1, 25), 25.0)
    assert index.first == 2 and [*index.moved] == [*range(2, 8)] and len(index.stamps) == 6


@pytest.mark.parametrize('backend', BACKENDS)
def test_frames_with_equal_times_are_distinguished(tmp_path, backend):
    times = [0, 0.1, 0.1, 0.2, 0.3, 0.3, 0.4, 0.5]
    path = tmp_path / 'a.mkv'
    with (
        av.open(str(write_clip(tmp_path / 'b.mkv', 8, fps=10))) as old,
        av.open(str(path), 'w') as new,
    ):
        copy = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.size]
        for packet in packets:
            packet.pts = round(1000 * times[round(packet.pts / 100)])
            packet.dts, packet.stream = None, copy
            new.mux(packet)
    with open_video(str(path), backend) as video:
        assert [number_of(video.read([i])[0]) for i in reversed(range(8))] == [*reversed(range(8))]


CUT = {
    'ts': ('ts', {}, {3: [*range(8, 24)], 8: [*range(8, 24)]}),
    'mp4': ('mp4', {}, {3: [*range(8, 24)]}),
    'mkv': ('mkv', {}, {3: [*range(8, 24)]}),
    'ts, open': ('ts', MPEG2, {3: [*range(9, 24)], 8: [*range(15, 24)]}),
    'mpg, open': ('mpg', MPEG2, {3: [*range(9, 24)], 8: [*range(15, 24)]}),
    'hevc, open': ('mkv', {**HEVC, 'options': HEVC_OPEN}, {3: [*range(8, 24)]}),
}


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('kind', CUT)
def test_a_recording_begins_with_the_first_frame_that_can_be_decoded(tmp_path, backend, kind):
    suffix, options, starts = CUT[kind]
    whole = write_clip(tmp_path / f'whole.{suffix}', fps=25, **options)
    for start, wanted in starts.items():
        path = remux(whole, tmp_path / f'cut.{suffix}', lambda number, n=start: number >= n)
        check(path, backend, wanted)


@pytest.mark.parametrize('backend', BACKENDS)
def test_lost_frames_are_damage(tmp_path, backend):
    """On an open GOP decord raises an error of another class than its others."""
    whole = write_clip(tmp_path / 'whole.mkv', fps=25, **HEVC, options=HEVC_OPEN)
    path = str(remux(whole, tmp_path / 'lost.mkv', lambda number: number != 11))
    options = {'backend': backend, 'num_frames': 24}
    assert DecodeVideo(**options)({'video_path': path}) is None
    with pytest.raises(VideoError, match='damaged'):
        DecodeVideo(**options, on_bad='raise')({'video_path': path})
    found = list(check_videos([path], backend=backend, every_frame=True))
    assert [check.cause for check in found] == ['damaged']


def test_without_any_key_frame_a_recording_is_refused(tmp_path):
    whole = write_clip(tmp_path / 'whole.ts', fps=25, options={'g': '99'})
    path = remux(whole, tmp_path / 'cut.ts', lambda number: number >= 3)
    with pytest.raises(VideoError, match=r'cut\.ts.*damaged'):
        open_video(str(path))


@pytest.mark.parametrize('backend', BACKENDS)
def test_times_before_zero_and_over_the_end_of_the_clock(tmp_path, backend):
    whole = write_clip(tmp_path / 'whole.ts', fps=25)
    options = {'options': {'mpegts_copyts': '1'}, 'container_options': RAW}
    for name, delay in (('wrapped', 2**33 - 126000 - 45000), ('late', 90000 * 3600 * 20)):
        check(remux(whole, tmp_path / f'{name}.ts', delay=delay, **options), backend, [*range(24)])
    whole = write_clip(tmp_path / 'whole.mkv', fps=25)
    check(
        remux(whole, tmp_path / 'before.mkv', delay=-400, container_options=RAW),
        backend,
        [*range(24)],
    )
    vp9 = {'codec': 'libvpx-vp9', 'options': {'crf': '10', 'b': '0', 'deadline': 'realtime'}}
    times = [-0.48 + 0.04 * i for i in range(24)]
    path = write_clip(tmp_path / 'a.ts', times=times, fps=1000, container_options=RAW)
    check(path, backend, [*range(24)])
    whole = write_clip(tmp_path / 'whole.webm', fps=25, **vp9)
    check(
        remux(whole, tmp_path / 'a.webm', delay=-400, container_options=RAW), backend, [*range(24)]
    )


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('suffix', ['flv', 'mkv', 'mp4', 'avi', 'mpg', 'h264'])
@pytest.mark.parametrize('frames', [1, 2, 3])
def test_one_to_three_frames(tmp_path, backend, suffix, frames):
    kind = {'avi': {'codec': 'mpeg4', 'options': {'q': '2'}}, 'mpg': MPEG2}.get(suffix, {})
    path = write_clip(tmp_path / f'a.{suffix}', frames, fps=25, **kind)
    with open_video(str(path), backend) as video:
        assert [number_of(frame) for frame in video.read(range(len(video)))] == [*range(frames)]
        lone = 1 / 25 if suffix == 'h264' else 1
        assert video.duration == pytest.approx(lone if frames == 1 else frames / 25, abs=0.002)
    for sampling in ('uniform', 'random', 'fps'):
        decode = DecodeVideo(4, sampling, fps=25.0, backend=backend, on_bad='raise')
        result = decode({'video_path': str(path)})
        assert result['frame_mask'].tolist() == [i < frames for i in range(4)]
        wanted = chain(range(frames), repeat(frames - 1))
        assert [number_of(frame) for frame in result['clip']] == [
            number for number, _ in zip(wanted, range(4), strict=False)
        ]
