"""Animated images as videos; a still image is a video of one frame."""

from functools import cached_property

import numpy as np

from transmamba_mm.datasets.image_pixels import to_rgb, upright_size
from transmamba_mm.datasets.images import MAX_MEGAPIXELS, ImageError, open_image
from transmamba_mm.datasets.video.reader import VideoReader
from transmamba_mm.datasets.video.resize import resize_frames
from transmamba_mm.datasets.video.video_error import video_error

ANIMATED = ('GIF', 'WEBP', 'PNG', 'AVIF')  # further pictures of other formats are no frames
SHORTEST, USUAL = 20, 100  # milliseconds: browsers show frames that ask for less this long


class AnimationReader(VideoReader):
    """A :class:`VideoReader` on Pillow, which reads animated webp and composes partial frames.

    Args:
        path: The file.
        max_megapixels: Most pixels that a frame may have, in millions.

    Raises:
        VideoError: If it cannot be opened, or is too large.
    """

    def __init__(self, path: str, max_megapixels: float = MAX_MEGAPIXELS) -> None:
        self.path = path
        try:
            self._image = open_image(path, max_megapixels)
        except ImageError as error:
            cause = 'too large' if error.is_too_large else 'damaged'
            raise video_error(path, cause, error.reason) from error
        try:
            is_animated = self._image.format in ANIMATED
            self._length = getattr(self._image, 'n_frames', 1) if is_animated else 1
        except Exception as error:  # as in datasets.images
            self.close()
            raise video_error(path, 'damaged', error) from error
        self.shape = upright_size(self._image)

    def __len__(self) -> int:
        return self._length

    @cached_property
    def times(self) -> np.ndarray | None:
        """See :class:`VideoReader`; some formats only have them once decoded."""
        if self._length == 1:
            return None
        durations = []
        for index in range(self._length):
            self._frame(index)
            duration = self._image.info.get('duration') or 0
            durations.append(duration if duration >= SHORTEST else USUAL)
        return np.cumsum([0, *durations]) / 1000

    def close(self) -> None:
        """Close the file."""
        self._image.close()

    def _read(self, indices: list[int], size: tuple[int, int]) -> np.ndarray:
        out = np.empty((len(indices), *size, 3), np.uint8)
        for place, index in enumerate(indices):
            out[place] = resize_frames(self._frame(index)[None], size)[0]
        return out

    def _frame(self, index: int) -> np.ndarray:
        try:
            if self._length > 1:
                self._image.seek(index)
            return to_rgb(self._image)
        except Exception as error:
            raise video_error(self.path, 'damaged', error) from error
