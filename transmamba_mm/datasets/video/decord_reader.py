"""Videos through decord (the maintained package decord2)."""

import os

import decord
import numpy as np
from decord import DECORDError, DECORDLimitReachedError

from transmamba_mm.datasets.images import MAX_MEGAPIXELS
from transmamba_mm.datasets.video.container import has_times
from transmamba_mm.datasets.video.pyav_container import check_size, open_container
from transmamba_mm.datasets.video.pyav_reader import PyAVReader
from transmamba_mm.datasets.video.reader import VideoReader, frame_times
from transmamba_mm.datasets.video.resize import resize_frames
from transmamba_mm.datasets.video.video_error import VideoError, video_error

decord.logging.set_level(decord.logging.QUIET)  # our errors include its messages

#: decord's errors have no base class in common.
BROKEN = (DECORDError, DECORDLimitReachedError, RuntimeError)
MAX_SECONDS = 1e9  # 30 years; of one to three frames in an mkv decord gives 9e15


class NotForDecordError(Exception):
    """The video may be valid, but this decoder does not decode it correctly."""


def open_decord(path: str, max_megapixels: float = MAX_MEGAPIXELS) -> VideoReader:
    """Open ``path`` with decord, or with PyAV where decord fails.

    decord2 3.4.0 silently returns wrong frames of containers without timestamps, such as avi and
    ts, and of files with a rotation. Of several streams of pictures it may
    choose a cover, and gives more than 3 channels of some narrow videos, as of 48 or 96 pixels. It
    counts frames before the first key frame, which it cannot decode, and gets the times wrong of
    joined files, of those that begin before 0, and of an mkv of one to three frames.
    """
    try:
        return DecordReader(path, max_megapixels)
    except NotForDecordError:
        return PyAVReader(path, max_megapixels)


class DecordReader(VideoReader):
    """A :class:`VideoReader` on ``decord.VideoReader``: one thread, as there are many workers.

    The frame is scaled inside decord, which needs the size to open a file: a read at
    another size reopens it.

    Raises:
        VideoError: If it cannot be opened, or shows no frame.
        NotForDecordError: If another decoder has to do it.
    """

    def __init__(self, path: str, max_megapixels: float = MAX_MEGAPIXELS) -> None:
        self.path = path
        if not has_times(path):
            raise NotForDecordError
        with open_container(path, max_megapixels) as container:
            streams = container.streams.video
            if len(streams) > 1 or not all(stream.codec_context.width for stream in streams):
                raise NotForDecordError
            for stream in streams:
                check_size(path, stream, max_megapixels)
        try:
            self._video = self._open()
            self._length = len(self._video)
            spans = self._video.get_frame_timestamp(list(range(self._length)))  # (N, 2)
            height, width, channels = self._video[0].shape
            keys = self._video.get_key_indices()
        except (*BROKEN, AssertionError, StopIteration, ValueError) as error:
            explained = self._explain(error)
            if explained.cause == 'damaged':  # perhaps for decord alone
                self.close()
                raise NotForDecordError from error
            raise explained from error
        starts = spans[:, 0].astype(np.float64)
        if (
            channels != 3
            or 0 not in keys
            or np.abs(starts).max() > MAX_SECONDS
            or (np.diff(starts) <= 0).any()
        ):
            self.close()
            raise NotForDecordError
        self.shape = self._size = (height, width)
        self.times = frame_times(starts)

    def __len__(self) -> int:
        return self._length

    def close(self) -> None:
        """Free decord's handle."""
        self._video = None

    def _open(self, width: int = -1, height: int = -1) -> decord.VideoReader:
        # any frame that had to be made up for a broken one is an error
        return decord.VideoReader(
            os.path.abspath(self.path), width=width, height=height, num_threads=1, fault_tol=1e-9
        )

    def _read(self, indices: list[int], size: tuple[int, int]) -> np.ndarray:
        try:
            try:
                return self._sized(size).get_batch(indices).asnumpy()
            except BROKEN as error:
                if 'size must exactly match' not in str(error):
                    raise
                # decord2 3.4.0 miscounts the channels of some widths, as 24 or 96
                frames = self._sized(self.shape).get_batch(indices).asnumpy()
                return resize_frames(frames, size)
        except BROKEN as error:
            raise self._explain(error) from error

    def _sized(self, size: tuple[int, int]) -> decord.VideoReader:
        if size != self._size:
            self._video = None  # before the next is opened: it decodes ahead
            self._video, self._size = self._open(size[1], size[0]), size
        return self._video

    def _explain(self, error: Exception) -> VideoError:
        text = str(error)
        if 'cannot find video stream' in text:
            return video_error(self.path, 'no video stream')
        if text.startswith('Error reading'):
            return video_error(self.path, 'not a video')
        if isinstance(error, (AssertionError, StopIteration, ValueError)):
            return video_error(self.path, 'no frames')
        return video_error(self.path, 'damaged', 'decord gave up decoding')
