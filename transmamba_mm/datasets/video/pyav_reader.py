"""Videos through PyAV."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from transmamba_mm.datasets.images import MAX_MEGAPIXELS
from transmamba_mm.datasets.video.reader import VideoReader, frame_times
from transmamba_mm.datasets.video.video_error import video_error


def open_container(path: str, max_megapixels: float) -> InputContainer:
    """Open a file, decoding no more pixels than that while its streams are looked up.

    Raises:
        VideoError: If it is no video.
    """
    # file:, as a colon in a name would end a protocol's; and a playlist may not reach the network
    options = {**_limits(max_megapixels), 'protocol_whitelist': 'file'}
    try:
        return av.open(f'file:{path}', options=options)
    except (av.FFmpegError, OSError) as error:
        raise video_error(path, 'not a video') from error


def check_size(path: str, stream: VideoStream, max_megapixels: float) -> None:
    """VideoError if the frames of a stream are too large, by its header."""
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > max_megapixels * 1e6:
        limit = f'{width} x {height} pixels, more than max_megapixels={max_megapixels:g}'
        raise video_error(path, 'too large', limit)


def _limits(max_megapixels: float) -> dict[str, str]:
    return {'max_pixels': str(int(max_megapixels * 1e6))}


class Packet(NamedTuple):
    """What is kept of a packet, in the stream's time base."""

    pts: int | None
    dts: int | None
    is_key: bool


class PyAVReader(VideoReader):
    """A :class:`VideoReader` on ``av``: one thread, as there are many workers.

    Opening reads all packets without decoding them, which gives the exact number of frames and
    when each is shown, whatever the header claims and in whatever order they are stored (B-frames).
    A frame is then decoded from the last key frame before it, or from where the decoder stands.

    Of several streams of pictures covers are left out, and the file's default one is read.

    Args:
        path: The file.
        max_megapixels: Most pixels that a frame may have, in millions.

    Raises:
        VideoError: If it cannot be opened, has no frames, or too large ones.
    """

    def __init__(self, path: str, max_megapixels: float = MAX_MEGAPIXELS) -> None:
        self.path = path
        self._max_megapixels = max_megapixels
        self._container = open_container(path, max_megapixels)
        try:
            self._index()
            check_size(path, self._stream, max_megapixels)
            # only a decoded frame knows how it wants to be turned
            first = next(self._decode([0]))
        except av.FFmpegError as error:
            # under the limit the size of larger frames stays unknown where a header lacks it
            limit = f', or frames have more than max_megapixels={max_megapixels:g}'
            unknown = not any(
                stream.codec_context.width for stream in self._container.streams.video
            )
            self.close()
            detail = f'PyAV gave up decoding{limit * unknown}'
            raise video_error(path, 'damaged', detail) from error
        except Exception:
            self.close()
            raise
        self._turns = round(first.rotation / 90) % 4  # counterclockwise, as np.rot90
        self.shape = _swap((first.height, first.width), self._turns)

    def __len__(self) -> int:
        return len(self._stamps)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _index(self) -> None:
        """Choose the stream; note when each frame is shown and which of them are key frames."""
        streams = [
            stream
            for stream in self._container.streams.video
            if Disposition.attached_pic not in stream.disposition
        ]
        if not streams:
            raise video_error(self.path, 'no video stream')
        packets: dict[int, list[Packet]] = {stream.index: [] for stream in streams}
        for packet in self._container.demux(streams):
            if packet.size and not packet.is_discard:
                packets[packet.stream.index].append(
                    Packet(packet.pts, packet.dts, packet.is_keyframe)
                )
        # a cover may not be marked as one; True is more than False
        self._use(
            max(
                streams,
                key=lambda stream: (
                    len(packets[stream.index]) > 1,
                    Disposition.default in stream.disposition,
                ),
            )
        )
        found = packets[self._stream.index]
        if not found:
            raise video_error(self.path, 'no frames')
        # AVI knows no times, or with B-frames wrong ones: frames are counted from the start
        self._timed = self._container.format.name != 'avi' and all(
            packet.pts is not None for packet in found
        )
        if self._timed:
            found.sort(key=lambda packet: packet.pts)
            self._stamps = [packet.pts for packet in found]
            self._keys = [packet.pts for packet in found if packet.is_key]
        else:
            self._stamps, self._keys = list(range(len(found))), [0]
        self.times = self._seconds(found)

    def _seconds(self, packets: list[Packet]) -> np.ndarray | None:
        """``times`` of packets, by their dts where their pts are no times."""
        stamps = self._stamps if self._timed else [packet.dts for packet in packets]
        if None not in stamps:
            return frame_times(np.sort(stamps) * float(self._stream.time_base))
        rate = float(self._stream.average_rate or 0)
        return np.arange(len(packets) + 1) / rate if rate else None

    def _read(self, indices: list[int], size: tuple[int, int]) -> np.ndarray:
        height, width = _swap(size, self._turns)
        out = np.empty((len(indices), *size, 3), np.uint8)
        try:
            for place, frame in enumerate(self._decode(indices)):
                image = frame.reformat(
                    width=width,
                    height=height,
                    format='rgb24',
                    interpolation=Interpolation.BICUBIC,
                    threads=1,  # by default it waits for one per core, for each small frame
                )
                out[place] = np.rot90(image.to_ndarray(), self._turns)
        except av.FFmpegError as error:
            raise video_error(self.path, 'damaged', 'PyAV gave up decoding') from error
        return out

    def _decode(self, indices: list[int]) -> Iterator[VideoFrame]:
        """Yield the frames ``indices``, which ascend."""
        stream: Iterator[tuple[int, VideoFrame]] = iter(())
        position: int | None = None
        for index in indices:
            time = self._stamps[index]
            key = self._keys[max(bisect_right(self._keys, time) - 1, 0)] if self._keys else None
            if position is None or (self._timed and key is not None and key > position):
                stream = self._from(key)
            position, frame = _first_from(time, stream)
            if position != time:  # the file's own index leads past the frame
                stream = self._from(None)
                position, frame = _first_from(time, stream)
            if position != time or frame.is_corrupt:
                raise video_error(self.path, 'damaged', f'frame {index} is missing')
            yield frame

    def _from(self, key: int | None) -> Iterator[tuple[int, VideoFrame]]:
        """Yield (time, frame) from the key frame shown at ``key`` on, or from the start."""
        if key is None or not self._timed:
            self._rewind()
        else:
            self._container.seek(key, stream=self._stream, backward=True)
        for count, frame in enumerate(self._container.decode(self._stream)):
            yield frame.pts if self._timed else count, frame

    def _rewind(self) -> None:
        try:
            self._container.seek(0)
        except av.FFmpegError:  # a bare stream, without a container, has nothing to seek by
            place = self._stream.index
            self.close()
            self._container = open_container(self.path, self._max_megapixels)
            self._use(self._container.streams[place])

    def _use(self, stream: VideoStream) -> None:
        stream.codec_context.thread_count = 1
        stream.codec_context.options = _limits(self._max_megapixels)
        self._stream = stream


def _first_from(
    time: int, stream: Iterator[tuple[int, VideoFrame]]
) -> tuple[int, VideoFrame] | tuple[None, None]:
    """Return the first (time, frame) of ``stream`` that is not before ``time``."""
    return next((item for item in stream if item[0] >= time), (None, None))


def _swap(size: tuple[int, int], turns: int) -> tuple[int, int]:
    return size[::-1] if turns % 2 else size
