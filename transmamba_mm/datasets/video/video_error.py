"""Errors of unusable videos, with the path, the cause and the fix."""

from transmamba_mm.errors import UserError

#: Every cause a video is refused for, and what its owner can do.
FIXES = {
    'missing': 'correct the path or the folder of the videos, or fetch the file again',
    'not a file': 'remove it: a pipe, a socket or a device would never end',
    'empty': 'the file has no bytes: fetch it again',
    'not a video': 'fetch it again; a web page or a text was probably saved under its name',
    'truncated': (
        'fetch it again, or keep what plays: '
        'ffmpeg -err_detect ignore_err -i IN.mp4 -c:v libx264 -an OUT.mp4'
    ),
    'index missing': (
        'fetch it again: no player opens an mp4 without its index (the moov box), which often '
        'comes last'
    ),
    'no video stream': 'it holds sound only: fetch the version with pictures, or remove it',
    'no frames': 'encode it again: ffmpeg -i IN.mp4 -c:v libx264 -an OUT.mp4, or remove it',
    'too large': 'encode it smaller: ffmpeg -i IN.mp4 -vf scale=-2:720 OUT.mp4, or raise '
    'max_megapixels',
    'damaged': (
        'fetch it again, or encode what plays: '
        'ffmpeg -err_detect ignore_err -i IN.mp4 -c:v libx264 -an OUT.mp4'
    ),
}


class VideoError(UserError):
    """A video that cannot be read, with one of the causes in ``FIXES``.

    It is made by :func:`video_error`; from a message alone it can be made so that a DataLoader can
    raise it again outside of its worker.

    Attributes:
        path (str): The file or folder.
        cause (str): A key of ``FIXES``, or empty after the way out of a worker.
    """

    def __init__(self, message: str, path: str = '', cause: str = '') -> None:
        super().__init__(message)
        self.path = path
        self.cause = cause


def video_error(path: str, cause: str, detail: object = '') -> VideoError:
    """Make the error for ``path``.

    Args:
        path: The file or folder.
        cause: A key of ``FIXES``.
        detail: A library's message; only its first line is kept.
    """
    first = str(detail).strip().partition('\n')[0]
    said = f' ({first})' if first else ''
    return VideoError(f'{path} cannot be used: {cause}{said}. Fix: {FIXES[cause]}.', path, cause)
