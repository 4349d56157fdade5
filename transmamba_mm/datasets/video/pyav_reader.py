"""Videos through PyAV."""

from bisect import bisect_right
from collections.abc import Iterator

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from transmamba_mm.datasets.video.bad_video import bad_video
from transmamba_mm.datasets.video.reader import VideoReader


class PyAVReader(VideoReader):
    """A :class:`VideoReader` on ``av``: one thread, as there are many workers.

    Opening reads all packets without decoding them, which gives the exact number of frames and
    when each is shown, whatever the header claims and in whatever order they are stored (B-frames).
    A frame is then decoded from the last key frame before it, or from where the decoder stands.

    Raises:
        BadVideo: If it cannot be opened, or has no frames.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._container = av.open(path)
        except (av.FFmpegError, OSError) as error:
            raise bad_video(path, 'not a video') from error
        try:
            if not self._container.streams.video:
                raise bad_video(path, 'no video stream')
            self._stream = self._container.streams.video[0]
            self._stream.codec_context.thread_count = 1
            self._index()
            # only a decoded frame knows how it wants to be turned
            first = next(self._decode([0]))
        except av.FFmpegError as error:
            self.close()
            raise bad_video(path, 'damaged', 'PyAV gave up decoding') from error
        except Exception:
            self.close()
            raise
        self.fps = float(self._stream.average_rate or 0)
        self._turns = round(first.rotation / 90) % 4  # counterclockwise, as np.rot90
        self.shape = _swap((first.height, first.width), self._turns)

    def __len__(self) -> int:
        return len(self._times)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _index(self) -> None:
        """Note when each frame is shown and which of them are key frames."""
        packets = [
            (packet.pts, packet.is_keyframe)
            for packet in self._container.demux(self._stream)
            if packet.size and not packet.is_discard
        ]
        if not packets:
            raise bad_video(self.path, 'no frames')
        # AVI knows no times, or with B-frames wrong ones: frames are counted from the start
        self._timed = self._container.format.name != 'avi' and all(
            time is not None for time, _ in packets
        )
        if self._timed:
            self._times = sorted(time for time, _ in packets)
            self._keys = sorted(time for time, is_key in packets if is_key)
        else:
            self._times, self._keys = list(range(len(packets))), [0]

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
            raise bad_video(self.path, 'damaged', 'PyAV gave up decoding') from error
        return out

    def _decode(self, indices: list[int]) -> Iterator[VideoFrame]:
        """Yield the frames ``indices``, which ascend."""
        stream: Iterator[tuple[int, VideoFrame]] = iter(())
        position: int | None = None
        for index in indices:
            time = self._times[index]
            key = self._keys[max(bisect_right(self._keys, time) - 1, 0)] if self._keys else None
            if position is None or (self._timed and key is not None and key > position):
                stream = self._from(key)
            position, frame = _first_from(time, stream)
            if position != time:  # the file's own index leads past the frame
                stream = self._from(None)
                position, frame = _first_from(time, stream)
            if position != time or frame.is_corrupt:
                raise bad_video(self.path, 'damaged', f'frame {index} is missing')
            yield frame

    def _from(self, key: int | None) -> Iterator[tuple[int, VideoFrame]]:
        """Yield (time, frame) from the key frame shown at ``key`` on, or from the start."""
        if key is None or not self._timed:
            self._container.seek(0)
        else:
            self._container.seek(key, stream=self._stream, backward=True)
        for count, frame in enumerate(self._container.decode(self._stream)):
            yield frame.pts if self._timed else count, frame


def _first_from(
    time: int, stream: Iterator[tuple[int, VideoFrame]]
) -> tuple[int, VideoFrame] | tuple[None, None]:
    """Return the first (time, frame) of ``stream`` that is not before ``time``."""
    return next((item for item in stream if item[0] >= time), (None, None))


def _swap(size: tuple[int, int], turns: int) -> tuple[int, int]:
    return size[::-1] if turns % 2 else size
