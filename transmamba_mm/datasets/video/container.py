"""What the bytes of a file say before any decoder opens it."""

import os
import struct

from transmamba_mm.datasets.video.bad_video import bad_video

VIDEO_SUFFIXES = (
    *('.mp4', '.m4v', '.mov', '.mkv', '.webm', '.avi', '.mpg', '.mpeg', '.flv', '.3gp', '.ts'),
)
MP4_START = (b'ftyp', b'moov', b'mdat', b'free', b'skip', b'wide')
MP4_CONTENT = (b'moov', b'mdat', b'moof')

MATROSKA_START = b'\x1a\x45\xdf\xa3'


def has_times(path: str) -> bool:
    """Tell mp4, mov, mkv and webm, which say when each frame is shown, from everything else."""
    with open(path, 'rb') as file:
        start = file.read(8)
    return start[4:] in MP4_START or start.startswith(MATROSKA_START)


def check_file(path: str) -> None:
    """Refuse a file that is missing, empty, or an mp4 that ends before its boxes do.

    A decoder plays a truncated mp4 whose index is in front up to where it ends, or not at all,
    depending on the decoder. The sizes of its boxes say so at the cost of one short read each, for
    every decoder alike. Other containers do not promise their size: a cut mkv counts as a short
    clip.

    Raises:
        BadVideo: If so.
    """
    try:
        file = open(path, 'rb')  # noqa: SIM115  (entered below)
    except OSError as error:
        raise bad_video(path, 'missing', error.strerror) from error
    with file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise bad_video(path, 'empty')
        start = file.read(8)
        if start[4:] not in MP4_START:
            return
        found, position, missing = set(), 0, 0
        while position + 8 <= size:
            file.seek(position)
            length, kind = struct.unpack('>I4s', file.read(8))
            if length == 1:  # the length follows in 64 bits
                length = int.from_bytes(file.read(8), 'big')
            elif length == 0:  # up to the end of the file
                length = size - position
            if length < 8:
                break
            if kind in MP4_CONTENT and position + length > size:
                missing = position + length - size
                break
            found.add(kind)
            position += length
    if b'moov' not in found:
        raise bad_video(path, 'index missing')
    if missing:
        raise bad_video(path, 'truncated', f'{missing:,} bytes are missing at its end')
