"""A folder of images as a video."""

import os
import re

import numpy as np
from PIL import Image

from transmamba_mm.datasets.video.bad_video import bad_video
from transmamba_mm.datasets.video.reader import VideoReader
from transmamba_mm.datasets.video.resize import resize_frames

SUFFIXES = ('.jpg', '.jpeg', '.png')


class FramesReader(VideoReader):
    """A :class:`VideoReader` on a folder of jpg or png files, in natural order.

    ``frame2.jpg`` comes before ``frame10.jpg``. A jpg is decoded at a fraction of its size where
    that is enough for the size asked for. ``fps`` is 0: images do not tell.

    Raises:
        BadVideo: If there is no such folder, or no image in it.
    """

    fps = 0.0

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            names = [name for name in os.listdir(path) if name.lower().endswith(SUFFIXES)]
        except OSError as error:
            cause = 'not a video' if os.path.exists(path) else 'missing'
            raise bad_video(path, cause, 'a folder of frames was expected') from error
        if not names:
            raise bad_video(path, 'no frames', 'the folder holds no jpg or png file')
        self._files = [os.path.join(path, name) for name in sorted(names, key=natural_key)]
        with self._image(0) as image:
            self.shape = (image.height, image.width)

    def __len__(self) -> int:
        return len(self._files)

    def _image(self, index: int) -> Image.Image:
        try:
            return Image.open(self._files[index])
        except OSError as error:
            raise bad_video(self._files[index], 'damaged', 'not an image') from error

    def _read(self, indices: list[int], size: tuple[int, int]) -> np.ndarray:
        out = np.empty((len(indices), *size, 3), np.uint8)
        for place, index in enumerate(indices):
            with self._image(index) as image:
                image.draft('RGB', size[::-1])
                try:
                    frame = np.array(image.convert('RGB'))
                except (OSError, SyntaxError, ValueError) as error:
                    raise bad_video(self._files[index], 'damaged', error) from error
            out[place] = resize_frames(frame[None], size)[0]
        return out


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sort key that compares runs of digits as numbers."""
    parts = re.split(r'(\d+)', name.lower())
    return [(int(part), '') if i % 2 else (0, part) for i, part in enumerate(parts)]
