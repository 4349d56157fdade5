"""Every kind of image file gives the same picture; none costs more than its limit."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.datasets.pictures import KINDS, bad_pictures, expected, write_picture
from transmamba_mm.datasets.image_pixels import read_image, upright_size
from transmamba_mm.datasets.images import ImageError, open_image
from transmamba_mm.datasets.load_image import LoadImage
from transmamba_mm.errors import UserError

TOLERANCE = 4  # grades of 255: a codec's


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_gives_the_same_picture(tmp_path, kind):
    path = write_picture(kind, tmp_path / f'picture{KINDS[kind]}')
    wanted = expected(kind)
    for source in (path, str(path), BytesIO(path.read_bytes())):
        image = read_image(source)
        assert image.shape == wanted.shape and image.dtype == np.uint8
        assert np.abs(image.astype(int) - wanted).mean() < TOLERANCE
    with open_image(path) as image:
        assert upright_size(image) == wanted.shape[:2]


def test_16_bits_keep_their_grades(tmp_path):
    grades = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(grades * 257).save(tmp_path / 'a.png')
    assert np.array_equal(read_image(tmp_path / 'a.png')[..., 1], grades)


def test_a_jpg_is_decoded_small_and_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (640, 320), 'red').save(tmp_path / 'a.jpg', exif=exif)
    assert read_image(tmp_path / 'a.jpg').shape == (640, 320, 3)
    assert read_image(tmp_path / 'a.jpg', size=(80, 40)).shape == (80, 40, 3)
    assert read_image(tmp_path / 'a.jpg', size=(100, 50)).shape == (160, 80, 3)


@pytest.mark.filterwarnings('error')
def test_bad_files_are_named_with_the_reason(tmp_path):
    for name, reason in bad_pictures(tmp_path).items():
        with pytest.raises(ImageError, match='(?i)' + reason) as caught:
            read_image(str(tmp_path / name))
        assert str(tmp_path / name) in str(caught.value)
        assert caught.value.is_too_large == ('bomb' in name)
    for path in (['a.png'], 3, None, {'a': 1}):
        with pytest.raises(ImageError, match=f'a {type(path).__name__} is no path'):
            read_image(path)


def test_the_limit_can_be_set(tmp_path):
    Image.new('L', (1000, 500)).save(tmp_path / 'a.png')
    assert read_image(tmp_path / 'a.png', max_megapixels=0.5).shape == (500, 1000, 3)
    with pytest.raises(ImageError, match=r'1000 x 500 pixels, more than max_megapixels=0\.4'):
        read_image(tmp_path / 'a.png', max_megapixels=0.4)
    Image.new('1', (20_000, 10_000)).save(tmp_path / 'b.png')  # more than Pillow allows itself
    with open_image(tmp_path / 'b.png', max_megapixels=200) as image:
        assert image.size == (20_000, 10_000)
    for limit in (0, -1, float('nan'), '9', None, True):
        with pytest.raises(UserError, match='max_megapixels'):
            LoadImage(max_megapixels=limit)
