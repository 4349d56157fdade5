"""Videos through decord (the maintained package decord2)."""

import decord
import numpy as np
from decord import DECORDError

from transmamba_mm.datasets.video.bad_video import BadVideo, bad_video
from transmamba_mm.datasets.video.reader import VideoReader, check_backend

decord.logging.set_level(decord.logging.QUIET)  # what it says is in our errors


class NotForDecordError(Exception):
    """The video may be fine, but this decoder does not do it right."""


def open_decord(path: str) -> VideoReader:
    """Open ``path`` with decord; what it cannot do is left to PyAV.

    That is a video that asks to be turned by 90 degrees (decord2 3.4.0 swaps the sides of its
    frames in some calls and not in others: without a size it gives 6 channels), and one whose
    container does not tell how long it is, as mpg.
    """
    try:
        return DecordReader(path)
    except NotForDecordError:
        check_backend('pyav')
        from transmamba_mm.datasets.video.pyav_reader import PyAVReader

        return PyAVReader(path)


class DecordReader(VideoReader):
    """A :class:`VideoReader` on ``decord.VideoReader``: one thread, as there are many workers.

    The frame is scaled inside decord, which wants to know the size when it opens a file: a read at
    another size than the frames' opens it anew.

    Raises:
        BadVideo: If it cannot be opened, or shows no frame.
        NotForDecordError: If another decoder has to do it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._video = self._open()
            self._length = len(self._video)
            self.fps = float(self._video.get_avg_fps())
            height, width, channels = self._video[0].shape
        except (DECORDError, RuntimeError, AssertionError, StopIteration, ValueError) as error:
            if 'broken metadata' in str(error):
                raise NotForDecordError from error
            raise self._explain(error) from error
        if channels != 3:
            raise NotForDecordError
        self.shape = (height, width)

    def __len__(self) -> int:
        return self._length

    def close(self) -> None:
        """Free decord's handle."""
        self._video = None

    def _open(self, width: int = -1, height: int = -1) -> decord.VideoReader:
        # any frame that had to be made up for a broken one is an error
        return decord.VideoReader(
            self.path, width=width, height=height, num_threads=1, fault_tol=1e-9
        )

    def _read(self, indices: list[int], size: tuple[int, int]) -> np.ndarray:
        try:
            video = self._video if size == self.shape else self._open(size[1], size[0])
            return video.get_batch(indices).asnumpy()
        except (DECORDError, RuntimeError) as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> BadVideo:
        text = str(error)
        if 'cannot find video stream' in text:
            return bad_video(self.path, 'no video stream')
        if text.startswith('Error reading'):
            return bad_video(self.path, 'not a video')
        if isinstance(error, (AssertionError, StopIteration, ValueError)):
            return bad_video(self.path, 'no frames')
        return bad_video(self.path, 'damaged', 'decord gave up decoding')
