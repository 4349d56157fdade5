"""Videos through PyAV."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import av
import numpy as np
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from transmamba_mm.datasets.images import MAX_MEGAPIXELS
from transmamba_mm.datasets.video.packet_index import Packet, PacketIndex
from transmamba_mm.datasets.video.pyav_container import check_size, limits, open_container
from transmamba_mm.datasets.video.reader import VideoReader
from transmamba_mm.datasets.video.video_error import video_error


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
            self._index = self._find_frames()
            check_size(path, self._stream, max_megapixels)
            # only a decoded frame has the angle by which it is to be turned
            first = self._first_frame()
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
        self.times = self._index.times
        self._turns = round(first.rotation / 90) % 4  # counterclockwise, as np.rot90
        self.shape = _swap((first.height, first.width), self._turns)

    def __len__(self) -> int:
        return len(self._index.stamps)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _find_frames(self) -> PacketIndex:
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
            if packet.size:
                found = packets[packet.stream.index]
                shown = not packet.is_discard
                found.append(Packet(packet.pts, packet.dts, packet.is_keyframe, shown, len(found)))
        # a cover may not be marked as one; True is more than False
        self._use(
            max(
                streams,
                key=lambda stream: (
                    sum(packet.is_shown for packet in packets[stream.index]) > 1,
                    Disposition.default in stream.disposition,
                ),
            )
        )
        stream = self._stream
        index = PacketIndex(
            packets[stream.index],
            self._container.format.name,
            stream.time_base,
            float(stream.average_rate or 0),
        )
        if not index.stamps:
            raise video_error(self.path, 'no frames')
        return index

    def _first_frame(self) -> VideoFrame:
        """Decode the first frame; leave out those before it that need frames the file lacks."""
        for key in dict.fromkeys((*self._index.keys[:1], None)):
            for position, frame in self._from(key):
                if position > self._index.leading:
                    break
                if not frame.is_corrupt:
                    self._index.drop(position)
                    return frame
        raise video_error(self.path, 'damaged', 'frame 0 is missing')

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
        keys = self._index.keys
        for index in indices:
            key = keys[max(bisect_right(keys, index) - 1, 0)] if keys else None
            if position is None or (key is not None and key > position):
                stream = self._from(key)
            position, frame = _first_from(index, stream)
            if position != index:  # the file's own index leads past the frame
                stream = self._from(None)
                position, frame = _first_from(index, stream)
            if position != index or frame.is_corrupt:
                raise video_error(self.path, 'damaged', f'frame {index} is missing')
            yield frame

    def _from(self, key: int | None) -> Iterator[tuple[int, VideoFrame]]:
        """Yield (number, frame) from the key frame ``key`` on, or from the start."""
        stamps, moved = self._index.stamps, self._index.moved
        if key is not None and not moved and self._seek(self._index.seeks[key], self._stream):
            frames = self._container.decode(self._stream)
        else:
            frames = self._restart(self._index.first if key is None else self._index.starts[key])
        if not self._index.is_timed:
            yield from enumerate(frames)
            return
        position, time = -1, None
        for frame in frames:
            if frame.pts is None:
                continue
            # several frames may have the same time
            position = position + 1 if frame.pts == time else bisect_left(stamps, frame.pts)
            time = frame.pts
            if position < len(stamps) and stamps[position] == time:
                yield position, frame

    def _seek(self, time: int, stream: VideoStream | None = None) -> bool:
        """Go to the key frame at a time or before it; False if the container cannot."""
        try:
            self._container.seek(time, stream=stream, backward=True)
        except av.FFmpegError:
            return False
        return True

    def _restart(self, first: int) -> Iterator[VideoFrame]:
        """Decode from packet ``first`` on, which is reached without a seek to it.

        A seek to the start may miss it: times may be negative, or begin again, and a bare stream,
        without a container, has none.
        """
        place, moved = self._stream.index, self._index.moved
        # the times of an AVI begin at 0, so that a seek is enough
        if first or self._container.format.name != 'avi' or not self._seek(0):
            self.close()
            self._container = open_container(self.path, self._max_megapixels)
            self._use(self._container.streams[place])
        packets = (packet for packet in self._container.demux(self._stream) if packet.size)
        for number, packet in enumerate(packets):
            if number < first or (moved and number not in moved):
                continue
            if moved:
                packet.pts, packet.dts = moved[number]
            yield from packet.decode()
        yield from self._stream.codec_context.decode(None)  # what the decoder holds back

    def _use(self, stream: VideoStream) -> None:
        stream.codec_context.thread_count = 1
        stream.codec_context.options = limits(self._max_megapixels)
        self._stream = stream


def _first_from(
    index: int, stream: Iterator[tuple[int, VideoFrame]]
) -> tuple[int, VideoFrame] | tuple[None, None]:
    """Return the first (number, frame) of ``stream`` that is not before frame ``index``."""
    return next((item for item in stream if item[0] >= index), (None, None))


def _swap(size: tuple[int, int], turns: int) -> tuple[int, int]:
    return size[::-1] if turns % 2 else size
