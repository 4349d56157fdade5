"""Open any source of frames: video files, animated images, folders of images."""

import importlib.util
import os

from transmamba_mm.checks import check, one_of
from transmamba_mm.datasets.images import IMAGE_SUFFIXES, MAX_MEGAPIXELS, START, image_format
from transmamba_mm.datasets.video.animation_reader import AnimationReader
from transmamba_mm.datasets.video.container import check_file, check_path, is_mjpeg
from transmamba_mm.datasets.video.frames_reader import FramesReader
from transmamba_mm.datasets.video.reader import VideoReader
from transmamba_mm.errors import UserError

#: 'auto' is PyAV, which reads what decord cannot, as fast (python -m benchmarks.video).
BACKENDS = ('auto', 'pyav', 'decord', 'frames')
#: backend: (what Python imports, what pip installs).
PACKAGES = {'pyav': ('av', 'av'), 'decord': ('decord', 'decord2')}


def check_backend(backend: str) -> None:
    """Reject a backend that is unknown or not installed; nothing is imported.

    Raises:
        UserError: If so.
    """
    check('DecodeVideo', 'backend', backend, one_of(*BACKENDS))
    if backend in PACKAGES and not _is_installed(backend):
        raise UserError(
            f'backend={backend!r} is not installed: pip install {PACKAGES[backend][1]}.'
        )


def open_video(
    path: str, backend: str = 'auto', max_megapixels: float = MAX_MEGAPIXELS
) -> VideoReader:
    """Open a video file, an animated image, or a folder of images.

    Args:
        path: The file or folder. A folder is always read as frames, an image always by Pillow.
        backend: ``'auto'`` or ``'pyav'``: PyAV; ``'decord'``; ``'frames'``: a folder.
        max_megapixels: Most pixels that a frame may have, in millions; more are not decoded.

    Raises:
        VideoError: If the video cannot be used.
        UserError: If the backend is unknown or not installed.
    """
    check_backend(backend)
    check_path(path)
    if backend == 'frames' or os.path.isdir(path):
        return FramesReader(path, max_megapixels)
    check_file(path)
    with open(path, 'rb') as file:
        is_image = bool(image_format(file.read(START)))
    # FFmpeg, too, takes a file named as an image for one
    if is_image and (str(path).lower().endswith(IMAGE_SUFFIXES) or not is_mjpeg(path)):
        return AnimationReader(path, max_megapixels)
    if backend == 'decord':
        from transmamba_mm.datasets.video.decord_reader import open_decord

        return open_decord(path, max_megapixels)
    check_backend('pyav')
    from transmamba_mm.datasets.video.pyav_reader import PyAVReader

    return PyAVReader(path, max_megapixels)


def _is_installed(backend: str) -> bool:
    return importlib.util.find_spec(PACKAGES[backend][0]) is not None
