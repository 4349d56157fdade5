"""Opening a file with PyAV, within a limit of pixels."""

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from transmamba_mm.datasets.video.video_error import video_error


def open_container(path: str, max_megapixels: float) -> InputContainer:
    """Open a file, decoding no more pixels than that while its streams are looked up.

    Raises:
        VideoError: If it is no video.
    """
    # file:, as a colon in a name would end a protocol's; and a playlist may not reach the network
    options = {**limits(max_megapixels), 'protocol_whitelist': 'file'}
    try:
        return av.open(f'file:{path}', options=options)
    except (av.FFmpegError, OSError) as error:
        raise video_error(path, 'not a video') from error


def check_size(path: str, stream: VideoStream, max_megapixels: float) -> None:
    """VideoError if the frames of a stream are too large, by its header."""
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > max_megapixels * 1e6:
        limit = f'{width} x {height} pixels, more than max_megapixels={max_megapixels:g}'
        raise video_error(path, 'too large', limit)


def limits(max_megapixels: float) -> dict[str, str]:
    """Options of FFmpeg under which no larger frame is decoded."""
    return {'max_pixels': str(int(max_megapixels * 1e6))}
