"""A folder of images as a video."""

import os
import re

import numpy as np

from transmamba_mm.datasets.image_pixels import read_image, upright_size
from transmamba_mm.datasets.images import IMAGE_SUFFIXES, MAX_MEGAPIXELS, ImageError, open_image
from transmamba_mm.datasets.video.reader import VideoReader
from transmamba_mm.datasets.video.resize import resize_frames
from transmamba_mm.datasets.video.video_error import VideoError, video_error


class FramesReader(VideoReader):
    """A :class:`VideoReader` on a folder of images, in natural order.

    ``frame2.jpg`` comes before ``frame10.jpg``. A jpg is decoded at a fraction of its size where
    that is enough for the requested size. ``times`` is None: images have no timestamps.

    Args:
        path: The folder.
        max_megapixels: Most pixels that a frame may have, in millions.

    Raises:
        VideoError: If there is no such folder, or no image in it.
    """

    times = None

    def __init__(self, path: str, max_megapixels: float = MAX_MEGAPIXELS) -> None:
        self.path = path
        self._max_megapixels = max_megapixels
        try:
            with os.scandir(path) as entries:
                names = [entry.name for entry in entries if _is_frame(entry)]
        except (OSError, ValueError) as error:  # ValueError: a null byte, or no text
            cause = 'not a video' if os.path.exists(path) else 'missing'
            raise video_error(path, cause, 'a folder of frames was expected') from error
        if not names:
            raise video_error(path, 'no frames', 'the folder holds no image')
        self._files = [os.path.join(path, name) for name in sorted(names, key=natural_key)]
        try:
            with open_image(self._files[0], max_megapixels) as image:
                self.shape = upright_size(image)
        except ImageError as error:
            raise _bad_frame(self._files[0], error) from error

    def __len__(self) -> int:
        return len(self._files)

    def _read(self, indices: list[int], size: tuple[int, int]) -> np.ndarray:
        out = np.empty((len(indices), *size, 3), np.uint8)
        for place, index in enumerate(indices):
            try:
                frame = read_image(self._files[index], size, self._max_megapixels)
            except ImageError as error:
                raise _bad_frame(self._files[index], error) from error
            out[place] = resize_frames(frame[None], size)[0]
        return out


def _is_frame(entry: os.DirEntry) -> bool:
    return entry.name.lower().endswith(IMAGE_SUFFIXES) and not entry.is_dir()


def _bad_frame(file: str, error: ImageError) -> VideoError:
    return video_error(file, 'too large' if error.is_too_large else 'damaged', error.reason)


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sort key that compares runs of digits as numbers."""
    parts = re.split(r'(\d+)', name.lower())
    return [(int(part), '') if i % 2 else (0, part) for i, part in enumerate(parts)]
