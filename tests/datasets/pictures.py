"""One picture in every kind of image file, and files that are too large or not an image."""

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from transmamba_mm.datasets.image_pixels import UPRIGHT

HEIGHT, WIDTH = 40, 60
#: Kinds of files by their suffix; those named gray hold the picture without its colors.
KINDS = {
    **{f'orientation {turn}': '.jpg' for turn in range(1, 9)},
    **{f'orientation 6 {kind}': f'.{kind}' for kind in ('png', 'webp', 'tif', 'avif')},
    **{f'gray 16 bits {kind}': f'.{kind}' for kind in ('png', 'tif', 'pgm')},
    **{f'16 bits {kind}': f'.{kind}' for kind in ('png', 'tif')},
    **{f'plain {kind}': f'.{kind}' for kind in ('jpg', 'png', 'webp', 'bmp', 'ppm', 'tif', 'gif')},
    **{f'plain {kind}': f'.{kind}' for kind in ('avif', 'jp2')},
    **{f'animated {kind}': f'.{kind}' for kind in ('gif', 'webp', 'png', 'avif')},
    **{'palette': '.png', 'palette, transparent': '.png', 'alpha': '.png', 'cmyk': '.jpg'},
    **{'gray': '.png', 'gray, alpha': '.png', 'gray jpg': '.jpg', 'wrong suffix': '.png'},
}


def picture() -> np.ndarray:
    """(H, W, 3), uint8, RGB: blue, its upper left quarter orange."""
    pixels = np.full((HEIGHT, WIDTH, 3), (30, 60, 200), np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2] = (240, 150, 20)
    return pixels


def expected(kind: str) -> np.ndarray:
    """Expected pixels of a file of ``kind``: (H, W, 3), uint8, RGB."""
    if not kind.startswith('gray'):
        return picture()
    gray = np.asarray(Image.fromarray(picture()).convert('L'))
    return np.repeat(gray[..., None], 3, 2)


def write_picture(kind: str, path: Path) -> Path:
    """Write the picture as a file of ``kind``; ``path`` has the kind's suffix."""
    image = Image.fromarray(picture())
    if kind.startswith('orientation'):
        turn = int(kind.split()[1])
        back = {6: 8, 8: 6}.get(turn, turn)  # the others undo themselves
        exif = Image.Exif()
        exif[0x0112] = turn
        stored = image.transpose(UPRIGHT[back]) if back in UPRIGHT else image
        stored.save(path, exif=exif, quality=95)
    elif '16 bits' in kind:
        pixels = expected(kind)[..., ::-1].astype(np.uint16) * 257
        assert cv2.imwrite(str(path), pixels[..., 0] if kind.startswith('gray') else pixels)
    elif kind.startswith('animated'):
        others = [Image.new('RGB', (WIDTH, HEIGHT), (0, 40 * n, 0)) for n in range(1, 4)]
        image.save(path, save_all=True, append_images=others, duration=200, quality=90)
    elif kind.startswith('palette'):
        options = {'transparency': b'\xff\x80'} if 'transparent' in kind else {}
        image.quantize(8).save(path, **options)
    elif kind == 'wrong suffix':
        image.save(path, format='JPEG', quality=95)
    else:
        modes = {'alpha': 'RGBA', 'cmyk': 'CMYK', 'gray': 'L', 'gray jpg': 'L'}
        mode = {**modes, 'gray, alpha': 'LA'}.get(kind, 'RGB')
        image.convert(mode).save(path, quality=95)
    return path


def bomb(path: Path, width: int = 40_000, height: int = 40_000) -> Path:
    """Write a png of a few kilobytes whose header promises so many pixels, all of them black."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', checksum)

    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000), 9)
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', rows) + chunk(b'IEND', b'')
    )
    return path


def bad_pictures(folder: Path) -> dict[str, str]:
    """Write everything that is no image of bearable size: name of the file to a word of why."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    for name in ('half.png', 'half.jpg', 'half.webp', 'half.gif', 'half.bmp', 'half.tif'):
        Image.fromarray(noise).save(folder / name)
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
    (folder / 'empty.png').touch()
    (folder / 'text.png').write_text('<html>404</html>')
    (folder / 'program.png').write_text('%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n')
    (folder / 'folder.png').mkdir()
    os.mkfifo(folder / 'fifo.png')
    (folder / 'dangling.png').symlink_to(folder / 'nowhere.png')
    (folder / 'device.png').symlink_to('/dev/zero')
    bomb(folder / 'bomb.png')
    gif = b'GIF89a' + struct.pack('<HHBBB', 65535, 65535, 0, 0, 0)
    frame = b',' + struct.pack('<HHHHB', 0, 0, 65535, 65535, 0) + b'\x02\x01\x04\x00;'
    (folder / 'bomb.gif').write_bytes(gif + frame)
    (folder / 'bomb.bmp').write_bytes(
        b'BM'
        + struct.pack('<IHHI', 10**9, 0, 0, 54)
        + struct.pack('<IiiHHIIiiII', 40, 50_000, 50_000, 1, 24, 0, 0, 0, 0, 0, 0)
    )
    Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(
        folder / 'float.tif'
    )
    Image.fromarray(np.arange(-32, 32, dtype=np.int32).reshape(8, 8)).save(folder / 'signed.tif')
    Image.fromarray(np.full((8, 8), 1 << 20, np.int32)).save(folder / 'deep.tif')
    return {
        'absent.png': 'No such file',
        'empty.png': 'empty',
        'text.png': 'no image',
        'program.png': 'no image',
        'folder.png': 'directory',
        'fifo.png': 'a pipe, a socket or a device',
        'dangling.png': 'link to .*nowhere.png',
        'device.png': 'a pipe, a socket or a device',
        'bomb.png': '40000 x 40000',
        'bomb.gif': '65535 x 65535',
        'bomb.bmp': '50000 x 50000',
        'float.tif': 'floating-point',
        'signed.tif': '-32 to 31',
        'deep.tif': '1048576 to 1048576',
        **{f'half.{kind}': 'damaged' for kind in ('png', 'jpg', 'webp', 'gif', 'bmp', 'tif')},
        'x' * 300: 'name too long',
        'null\0.png': 'null',
    }
