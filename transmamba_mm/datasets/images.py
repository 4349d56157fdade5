"""Open image files, of a known format and size, for every task and for the frames of videos."""

import contextlib
import importlib
import os
import stat
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import Image

from transmamba_mm.errors import UserError

#: Larger images are refused by their header: 100 megapixels are 300 MB as RGB.
MAX_MEGAPIXELS = 100
#: What is opened, and the plugin of each; others start programs, or are no photographs. Importing
#: all of Pillow's takes seconds.
FORMATS = {
    'JPEG': 'Jpeg',
    'PNG': 'Png',
    'WEBP': 'WebP',
    'GIF': 'Gif',
    'BMP': 'Bmp',
    'TIFF': 'Tiff',
    'PPM': 'Ppm',
    'JPEG2000': 'Jpeg2K',
    'AVIF': 'Avif',
}
for plugin in FORMATS.values():
    with contextlib.suppress(ImportError):  # AVIF is new in Pillow 11.3
        importlib.import_module(f'PIL.{plugin}ImagePlugin')
IMAGE_SUFFIXES = (
    *('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.tif', '.tiff', '.ppm', '.pgm', '.avif', '.jp2'),
)
START = 16  # bytes that a format is recognized by


class ImageError(UserError):
    """An image that cannot be read.

    Attributes:
        reason (str): Why, without the path.
        is_too_large (bool): Whether ``max_megapixels`` is the reason.
    """

    def __init__(self, message: str, reason: str = '', is_too_large: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.is_too_large = is_too_large


def image_error(path: object, reason: str, is_too_large: bool = False) -> ImageError:
    """Make the error for ``path``."""
    return ImageError(f'The image {path} cannot be read ({reason}).', reason, is_too_large)


class FileFault(NamedTuple):
    """Why a path is not a file with content: a short cause, and details."""

    cause: str
    detail: str


def file_fault(path: object) -> FileFault | None:
    """Check ``path`` without opening it: a FIFO would block, a device never end."""
    if not isinstance(path, (str, os.PathLike)):
        return FileFault('missing', f'a {type(path).__name__} is no path')
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a null byte, or no text
        link = os.readlink(path) if isinstance(error, OSError) and os.path.islink(path) else ''
        reason = getattr(error, 'strerror', None) or str(error)
        return FileFault('missing', f'{reason}: it is a link to {link}' if link else reason)
    if stat.S_ISDIR(status.st_mode):
        return FileFault('not a file', 'it is a directory')
    if not stat.S_ISREG(status.st_mode):
        return FileFault('not a file', 'it is a pipe, a socket or a device')
    return None if status.st_size else FileFault('empty', 'it is empty')


def image_format(start: bytes) -> str:
    """Name the format of a file by its first ``START`` bytes; empty if it is none of FORMATS."""
    for name in FORMATS:
        _, accepts = Image.OPEN.get(name, (None, None))
        if accepts is not None and accepts(start) is True:
            return name
    return ''


def open_image(
    source: str | Path | BinaryIO, max_megapixels: float = MAX_MEGAPIXELS
) -> Image.Image:
    """Read the header of an image; its pixels are decoded when they are asked for.

    Args:
        source: A path, or an open file.
        max_megapixels: Most pixels that it may have, in millions.

    Raises:
        ImageError: If it is no file, no image, or too large.
    """
    if hasattr(source, 'read'):
        return _open(source, getattr(source, 'name', 'in memory'), max_megapixels)
    fault = file_fault(source)
    if fault:
        raise image_error(source, fault.detail)
    try:
        file = open(source, 'rb')  # noqa: SIM115  (the image closes it)
    except OSError as error:
        raise image_error(source, str(error.strerror)) from error
    try:
        image = _open(file, source, max_megapixels)
    except BaseException:
        file.close()
        raise
    image._exclusive_fp = True  # Pillow's own mark of files that it closes
    return image


def _open(file: BinaryIO, name: object, max_megapixels: float) -> Image.Image:
    kind = image_format(file.read(START))
    if not kind:
        raise image_error(name, 'it is no image')
    file.seek(0)
    try:
        # not Image.open, whose own limit warns on stderr and is one for the whole process
        image = Image.OPEN[kind][0](file, '')
    except Exception as error:  # whatever a plugin stumbles over is in the bytes of the file
        raise image_error(name, f'it is damaged: {error}') from error
    width, height = image.size
    if width * height > max_megapixels * 1e6:
        raise image_error(
            name,
            f'it has {width} x {height} pixels, more than max_megapixels={max_megapixels:g}: '
            'scale it down, or raise the limit',
            is_too_large=True,
        )
    return image
