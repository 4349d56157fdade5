"""One face for everything that frames are read from."""

import importlib.util
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType

import numpy as np

from transmamba_mm.datasets.video.container import check_file
from transmamba_mm.errors import UserError

BACKENDS = ('auto', 'decord', 'pyav', 'frames')
#: backend: (what Python imports, what pip installs). 'auto' takes the first that is there: PyAV is
#: as fast as decord (tools/analysis/benchmark_video.py) and reads what decord cannot.
PACKAGES = {'pyav': ('av', 'av'), 'decord': ('decord', 'decord2')}
#: A short side in pixels that keeps the proportions, an exact (height, width), or as it is.
FrameSize = int | tuple[int, int] | None


class VideoReader(ABC):
    """An open video. Use it in a ``with`` block, in the process that reads from it.

    Frames are counted as they are shown. All readers give the same frame for the same number, and
    the orientation that the file asks for.

    Attributes:
        path (str): The file or folder.
        fps (float): Frames per second; 0 where nobody knows (a folder of frames).
        shape (tuple[int, int]): Height and width of the frames as they are stored.
    """

    path: str
    fps: float
    shape: tuple[int, int]

    @abstractmethod
    def __len__(self) -> int:
        """Count the frames."""

    @property
    def duration(self) -> float:
        """Seconds; 0 where ``fps`` is unknown."""
        return len(self) / self.fps if self.fps else 0.0

    def read(self, indices: Sequence[int], size: FrameSize = None) -> np.ndarray:
        """Decode some frames.

        Args:
            indices: Which, in any order, repeated or not, each in ``[0, len(self))``.
            size: An int scales the short side to it and keeps the proportions; (height, width) is
                exact. Both with bicubic interpolation that filters when it makes images smaller.

        Returns:
            RGB frames of shape (T, H, W, 3), uint8.

        Raises:
            BadVideo: If one of them cannot be decoded.
        """
        places = np.asarray(indices, dtype=np.int64)
        if not len(places) or places.min() < 0 or places.max() >= len(self):
            raise IndexError(f'{self.path} has frames 0 to {len(self) - 1}: {list(indices)}')
        wanted, back = np.unique(places, return_inverse=True)
        frames = self._read(wanted.tolist(), target_size(self.shape, size))
        return (
            frames if len(wanted) == len(places) and (back[1:] > back[:-1]).all() else frames[back]
        )

    @abstractmethod
    def _read(self, indices: list[int], size: tuple[int, int]) -> np.ndarray:
        """Decode frames ``indices``, ascending and distinct, at (height, width)."""

    def close(self) -> None:  # noqa: B027  (a folder has nothing to close)
        """Let go of the file."""

    def __enter__(self) -> 'VideoReader':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def target_size(shape: tuple[int, int], size: FrameSize) -> tuple[int, int]:
    """Return (height, width) of a frame of ``shape`` that is brought to ``size``."""
    if size is None:
        return shape
    if not isinstance(size, int):
        return size
    scale = size / min(shape)
    return round(shape[0] * scale), round(shape[1] * scale)


def check_backend(backend: str) -> None:
    """Refuse a backend that is unknown or not installed; nothing is imported.

    Raises:
        UserError: If so.
    """
    if backend not in BACKENDS:
        raise UserError(f'backend={backend!r} reads no videos: choose one of {BACKENDS}.')
    if backend in PACKAGES and not _is_installed(backend):
        raise UserError(
            f'backend={backend!r} is not installed: pip install {PACKAGES[backend][1]}, or set '
            "backend='auto'."
        )


def open_video(path: str, backend: str = 'auto') -> VideoReader:
    """Open a video file, or a folder of jpg or png frames.

    Args:
        path: The file or folder. A folder is always read as frames.
        backend: ``'decord'``, ``'pyav'``, ``'frames'``, or ``'auto'``: PyAV where it is
            installed, else decord.

    Raises:
        BadVideo: If the video cannot be used.
        UserError: If the backend is unknown or not installed.
    """
    check_backend(backend)
    if backend == 'frames' or os.path.isdir(path):
        from transmamba_mm.datasets.video.frames_reader import FramesReader

        return FramesReader(path)
    check_file(path)
    if backend == 'auto':
        backend = next((name for name in PACKAGES if _is_installed(name)), 'auto')
    if backend == 'decord':
        from transmamba_mm.datasets.video.decord_reader import open_decord

        return open_decord(path)
    if backend == 'pyav':
        from transmamba_mm.datasets.video.pyav_reader import PyAVReader

        return PyAVReader(path)
    raise UserError('Videos need a decoder: pip install av, or pip install decord2.')


def _is_installed(backend: str) -> bool:
    return importlib.util.find_spec(PACKAGES[backend][0]) is not None
