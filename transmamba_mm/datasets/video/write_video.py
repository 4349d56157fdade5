"""Frames into a video file."""

import os

import numpy as np

from transmamba_mm.errors import UserError

CODEC = 'libx264'


def write_video(path: str | os.PathLike, frames: np.ndarray, fps: int, crf: int = 18) -> None:
    """Write gray frames (T, H, W), uint8, as H.264; its pixels are yuv420p, which players expect.

    The same frames give the same bytes with the same FFmpeg, on any processor: one thread,
    x264's portable code, no date.

    Raises:
        UserError: If PyAV is not installed or was built without H.264.
    """
    try:
        import av
    except ImportError as error:
        raise UserError('Videos are written by PyAV: pip install av') from error
    if CODEC not in av.codecs_available:
        raise UserError(
            f'This PyAV was built without {CODEC}. Take its wheel: '
            'pip install --force-reinstall --only-binary av av'
        )
    with av.open(str(path), 'w') as file:
        stream = file.add_stream(CODEC, rate=fps)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = 'yuv420p'
        stream.options = {
            'crf': str(crf),
            'preset': 'veryfast',
            'threads': '1',
            'x264-params': 'asm=0',  # on some processors its AVX-512 code reads what nobody wrote
        }
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='gray')))
        file.mux(stream.encode(None))
