"""Sample frames of a video."""

from dataclasses import dataclass

import numpy as np

from transmamba_mm.checks import COUNT, POSITIVE, Rule, check, one_of

SAMPLINGS = ('uniform', 'random', 'fps')
ROUNDING = 6e-4  # seconds by which a file's times are off: mkv rounds them to milliseconds


@dataclass(frozen=True)
class FrameSampler:
    """Choose T frames of a video of N.

    ``'uniform'``: the middle of each of T equal segments. ``'random'``: a random frame of each of T
    equal segments, drawn from numpy's global generator, which mmengine seeds in every worker.
    ``'fps'``: CLIP4Clip's (arXiv 2104.08860): the frames shown every ``1 / fps`` seconds
    from the first on, and if those are more than T, T of them at even distances, both ends
    included.

    Seconds are those of the frames' own times, however many there are to a second. A folder of
    frames has none: its frames count as taken at ``fps`` per second.

    A video with fewer than T candidate frames gives each of them once, in order; the last one is
    then repeated, and the mask marks the repeats.

    Args:
        num_frames (int): T.
        sampling (str): One of the above.
        fps (float): For ``'fps'`` only. Defaults to 1.
        max_seconds (float, optional): Frames are only chosen from so much of the beginning.

    Raises:
        UserError: If there is no such sampling, or T, fps or max_seconds is not positive.
    """

    num_frames: int
    sampling: str = 'uniform'
    fps: float = 1.0
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        rules: dict[str, Rule] = {
            'num_frames': COUNT,
            'sampling': one_of(*SAMPLINGS),
            'fps': POSITIVE,
        }
        if self.max_seconds is not None:
            rules['max_seconds'] = POSITIVE
        for name, rule in rules.items():
            check('FrameSampler', name, getattr(self, name), rule)

    def __call__(
        self, total: int, times: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Choose among ``total`` frames.

        Args:
            total: N.
            times: (N + 1,), as ``VideoReader.times``; None: unknown.

        Returns:
            Indices (T,), ascending, int64, and a mask (T,), bool, True for frames that are no
            repeats.
        """
        times = self._times(total, times)
        if self.sampling == 'random':
            indices = _random(len(times) - 1, self.num_frames)
        elif self.sampling == 'fps':
            indices = _at_fps(times, self.num_frames, self.fps)
        else:
            indices = _uniform(len(times) - 1, self.num_frames)
        return self._filled(indices)

    def candidates(self, total: int, times: np.ndarray | None, per_segment: int) -> np.ndarray:
        """Return the frames that are worth keeping of a video, ascending and distinct.

        For a sampling that always chooses the same frames these are they. For ``'random'`` they are
        the middles of T * ``per_segment`` equal segments, or all frames if there are fewer.
        """
        if self.sampling == 'random':
            return _uniform(len(self._times(total, times)) - 1, self.num_frames * per_segment)
        return np.unique(self(total, times)[0])

    def _times(self, total: int, times: np.ndarray | None) -> np.ndarray:
        """Times of the available frames, and of the end."""
        if times is None:
            times = np.arange(total + 1) / self.fps
        if self.max_seconds is None:
            return times
        within = max(1, int(np.searchsorted(times[:-1], self.max_seconds - ROUNDING)))
        return np.append(times[:within], min(times[within], self.max_seconds))

    def among(self, kept: int) -> tuple[np.ndarray, np.ndarray]:
        """Choose T places among ``kept`` candidates: indices and mask, as :meth:`__call__`."""
        if self.sampling == 'random':
            return self._filled(_random(kept, self.num_frames))
        return self._filled(np.arange(min(kept, self.num_frames)))

    def _filled(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        missing = self.num_frames - len(indices)
        return np.pad(indices, (0, missing), 'edge'), np.arange(self.num_frames) < len(indices)


def _uniform(total: int, number: int) -> np.ndarray:
    if total <= number:
        return np.arange(total)
    return ((np.arange(number) + 0.5) * total / number).astype(np.int64)


def _random(total: int, number: int) -> np.ndarray:
    if total <= number:
        return np.arange(total)
    edges = np.arange(number + 1) * total // number
    return np.random.randint(edges[:-1], edges[1:])


def _at_fps(times: np.ndarray, number: int, fps: float) -> np.ndarray:
    # the first tick at or after each frame's time: a frame is shown at a tick if it is its own
    ticks = np.ceil((times - ROUNDING) * fps)
    shown = np.flatnonzero(ticks[:-1] < ticks[1:])
    if len(shown) <= number:
        return shown
    return shown[np.linspace(0, len(shown) - 1, number).astype(np.int64)]
