"""Inspect the bytes of a video file before any decoder opens it."""

import os
import re
import struct
from typing import BinaryIO

from transmamba_mm.datasets.images import START, file_fault, image_format
from transmamba_mm.datasets.video.video_error import video_error

#: What a video in a folder ends in; files are opened by their content, whatever they end in.
VIDEO_SUFFIXES = (
    *('.mp4', '.m4v', '.mov', '.qt', '.mkv', '.webm', '.avi', '.wmv', '.asf', '.mpg', '.mpeg'),
    *('.flv', '.f4v', '.3gp', '.3g2', '.ts', '.mts', '.m2ts', '.vob', '.ogv', '.ogg', '.mxf'),
    *(
        '.m1v',
        '.m2v',
        '.mjpeg',
        '.mjpg',
        '.h264',
        '.264',
        '.h265',
        '.265',
        '.hevc',
        '.ivf',
        '.y4m',
        '.nut',
    ),
    *('.gif', '.apng'),
)
MP4_START = (b'ftyp', b'moov', b'mdat', b'free', b'skip', b'wide')
MP4_CONTENT = (b'moov', b'mdat', b'moof')

MATROSKA_START = b'\x1a\x45\xdf\xa3'

MJPEG_SUFFIXES = ('.mjpeg', '.mjpg')
JPEG_START = b'\xff\xd8\xff'
JPEG_END = 0xD9
JPEG_SCAN = 0xDA
NO_LENGTH = {0x01, *range(0xD0, 0xD9)}  # markers of a JPEG without content
SCAN_END = re.compile(rb'\xff[^\x00\xd0-\xd7\xff]')
SEVERAL_PICTURES = b'MPF\0'  # of a photo with a preview, a depth map or a second view behind it


def has_times(path: str) -> bool:
    """Return whether a file is mp4, mov, mkv or webm, which store a timestamp for each frame."""
    with open(path, 'rb') as file:
        start = file.read(8)
    return start[4:] in MP4_START or start.startswith(MATROSKA_START)


def is_mjpeg(path: str) -> bool:
    """Return whether a file is a bare stream of JPEGs (a video), not a single JPEG."""
    with open(path, 'rb') as file:
        if file.read(3) != JPEG_START:
            return False
        if os.path.splitext(path)[1].lower() in MJPEG_SUFFIXES:
            return True
        return _skip_jpeg(file) and file.read(3) == JPEG_START


def _skip_jpeg(file: BinaryIO) -> bool:
    """Go behind the end of a JPEG; False if it has none, or other pictures belong to it."""
    file.seek(2)
    while True:
        mark = file.read(2)
        while mark == b'\xff\xff':  # filled up
            mark = mark[1:] + file.read(1)
        if len(mark) < 2 or mark[0] != 0xFF:
            return False
        if mark[1] == JPEG_END:
            return True
        if mark[1] in NO_LENGTH:
            continue
        length = int.from_bytes(file.read(2), 'big') - 2
        content = file.read(max(length, 0))
        if len(content) != length or content.startswith(SEVERAL_PICTURES):
            return False
        if mark[1] == JPEG_SCAN and not _skip_scan(file):
            return False


def _skip_scan(file: BinaryIO) -> bool:
    """Go to the marker behind the pixels of a JPEG; False if there is none."""
    while chunk := file.read(1 << 16):
        if chunk.endswith(b'\xff'):
            chunk += file.read(1)
        found = SCAN_END.search(chunk)
        if found:
            file.seek(found.start() - len(chunk), os.SEEK_CUR)
            return True
    return False


def check_path(path: object) -> None:
    """Reject non-paths, such as a list in an annotation file.

    Raises:
        VideoError: If so.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise video_error(repr(path), 'missing', f'a {type(path).__name__} is no path')


def check_file(path: str) -> None:
    """Reject a missing or empty file, a non-file, and an mp4 that ends before its boxes do.

    A decoder plays a truncated mp4 whose index is in front up to where it ends, or not at all,
    depending on the decoder. The sizes of its boxes reveal the cut at the cost of one short read
    each, for every decoder alike. Other containers do not promise their size: a cut mkv counts as a
    short clip.

    Raises:
        VideoError: If so.
    """
    fault = file_fault(path)
    if fault:
        raise video_error(path, fault.cause, '' if fault.cause == 'empty' else fault.detail)
    try:
        file = open(path, 'rb')  # noqa: SIM115  (entered below)
    except OSError as error:
        raise video_error(path, 'missing', error.strerror) from error
    with file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(START)
        if image_format(start) or start[4:8] not in MP4_START:
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
        raise video_error(path, 'index missing')
    if missing:
        raise video_error(path, 'truncated', f'{missing:,} bytes are missing at its end')
