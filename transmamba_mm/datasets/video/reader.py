"""The interface of all readers of frames."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType

import numpy as np

#: A short side in pixels that keeps the proportions, an exact (height, width), or as it is.
FrameSize = int | tuple[int, int] | None


class VideoReader(ABC):
    """An open video. Use it in a ``with`` block, in the process that reads from it.

    Frames are counted as they are shown. All readers give the same frame for the same number, and
    the orientation that the file asks for.

    Attributes:
        path (str): The file or folder.
        shape (tuple[int, int]): Height and width of the frames as they are shown.
        times (np.ndarray, optional): (N + 1,), float64: seconds after the first frame at which each
            of N frames appears, and at which the last one ends. None where they are unknown (a
            folder of frames, a still image).
    """

    path: str
    shape: tuple[int, int]
    times: np.ndarray | None

    @abstractmethod
    def __len__(self) -> int:
        """Count the frames."""

    @property
    def duration(self) -> float:
        """Seconds; 0 where the times are unknown."""
        return 0.0 if self.times is None else float(self.times[-1])

    @property
    def fps(self) -> float:
        """Frames per second on average; 0 where the times are unknown."""
        return len(self) / self.duration if self.duration else 0.0

    def read(self, indices: Sequence[int], size: FrameSize = None) -> np.ndarray:
        """Decode some frames.

        Args:
            indices: Which, in any order, repeated or not, each in ``[0, len(self))``.
            size: An int scales the short side to it and keeps the proportions; (height, width) is
                exact. Both with bicubic interpolation that filters when it makes images smaller.

        Returns:
            RGB frames of shape (T, H, W, 3), uint8.

        Raises:
            VideoError: If one of them cannot be decoded.
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


def frame_times(starts: np.ndarray) -> np.ndarray:
    """Make ``times`` of the seconds (N,) at which frames appear, ascending.

    No container stores the duration of the last frame reliably, with B-frames. The shortest other
    duration is used, which is right at a constant rate and conservative at others.
    """
    lengths = np.diff(starts)
    last = lengths[lengths > 0].min(initial=np.inf)
    return np.append(starts, starts[-1] + (last if np.isfinite(last) else 1.0)) - starts[0]


def target_size(shape: tuple[int, int], size: FrameSize) -> tuple[int, int]:
    """Return (height, width) of a frame of ``shape`` that is brought to ``size``."""
    if size is None:
        return shape
    if not isinstance(size, int):
        return size
    scale = size / min(shape)
    return round(shape[0] * scale), round(shape[1] * scale)
