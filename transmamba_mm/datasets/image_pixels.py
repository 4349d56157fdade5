"""Decode the pixels of images, upright and as RGB, for every task and for the frames of videos."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image

from transmamba_mm.datasets.images import MAX_MEGAPIXELS, image_error, open_image

#: EXIF orientation: what brings the image upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(
    source: str | Path | BinaryIO,
    size: tuple[int, int] | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> np.ndarray:
    """Open and decode an image, the first frame of an animated one.

    Args:
        source: A path, or an open file.
        size: See :func:`to_rgb`.
        max_megapixels: See :func:`open_image`.

    Returns:
        RGB of shape (H, W, 3), uint8.

    Raises:
        ImageError: If it cannot be read.
    """
    with open_image(source, max_megapixels) as image:
        try:
            return to_rgb(image, size)
        except Exception as error:  # as in open_image
            raise image_error(source, f'it is damaged: {error}') from error


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width of an image as it is shown; its pixels are not decoded."""
    return image.size if _orientation(image) >= 5 else image.size[::-1]


def to_rgb(image: Image.Image, size: tuple[int, int] | None = None) -> np.ndarray:
    """Decode an image as it is shown: (H, W, 3), uint8, RGB.

    Its EXIF orientation is applied, 16 bits are scaled to 8, and transparency is dropped, as
    mmpretrain, timm and LLaVA's processor do.

    Args:
        image: Of :func:`open_image`, at the requested frame.
        size: (height, width) that will be enough: a jpg is decoded at a fraction of its size.

    Raises:
        ValueError, OSError, ...: Whatever Pillow raises on damaged files.
    """
    turn = _orientation(image)
    if size is not None:
        image.draft('RGB', size if turn >= 5 else size[::-1])
    if image.mode.startswith('I'):  # Pillow would clip all above 255 to white
        pixels = np.asarray(image)
        low, high = pixels.min(), pixels.max()
        if low < 0 or high > 65535:
            raise ValueError(f'its pixels are {low} to {high}: save it with 8 or 16 bits')
        image = Image.fromarray((pixels >> 8).astype(np.uint8))
    elif image.mode == 'F':
        raise ValueError('its pixels are floating-point numbers: save it with 8 or 16 bits')
    elif image.mode == 'P':
        image = image.convert('RGBA')  # Pillow warns of a palette's transparency otherwise
    image = image.convert('RGB')
    return np.array(image.transpose(UPRIGHT[turn]) if turn in UPRIGHT else image)


def _orientation(image: Image.Image) -> int:
    if image.format == 'TIFF':  # Pillow turns these itself
        return 1
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF data; the pixels may be good
        return 1
