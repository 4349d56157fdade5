"""The middle of a picture at the size of a model, as PIL makes it."""

import numpy as np
import pytest
from PIL import Image

from transmamba_mm.registry import TRANSFORMS


def smooth(height: int, width: int) -> np.ndarray:
    """A picture without edges, on which all ways of resizing agree."""
    rows, columns = np.linspace(0, 3, height)[:, None], np.linspace(0, 5, width)[None]
    waves = [np.sin(rows + columns), np.cos(rows * columns / 2), np.sin(rows - columns)]
    return (np.stack(waves, -1) * 120 + 128).astype(np.uint8)


@pytest.mark.parametrize(
    ('shape', 'box'),
    [
        ((200, 300), (50, 0, 250, 200)),
        ((480, 640), (80, 0, 560, 480)),
        ((48, 64), (8, 0, 56, 48)),
        ((300, 100), (0, 100, 100, 200)),
        ((1, 1), (0, 0, 1, 1)),
        ((2, 3000), (1499, 0, 1501, 2)),
    ],
)
def test_is_the_scaled_middle(shape, box):
    picture = smooth(*shape)
    step = TRANSFORMS.build({'type': 'FitSize', 'size': 64})
    expected = np.array(Image.fromarray(picture).resize((64, 64), Image.BICUBIC, box), int)
    image = step({'img': picture})
    assert image['img'].shape == (64, 64, 3) and image['img_shape'] == (64, 64)
    assert np.abs(image['img'] - expected).max() <= 3
    clip = step({'clip': np.stack([picture] * 2)})['clip']
    assert clip.shape == (2, 64, 64, 3) and (clip == image['img']).all()


def test_what_fits_stays_as_it_is():
    picture = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    step = TRANSFORMS.build({'type': 'FitSize', 'size': (64, 48)})
    assert (step({'img': picture})['img'] == picture).all()


def test_what_is_large_enough_for_a_crop_stays_as_it_is():
    step = TRANSFORMS.build({'type': 'FitSize', 'size': 32, 'only_smaller': True})
    assert step({'img': smooth(32, 90)})['img'].shape == (32, 90, 3)
    assert step({'img': smooth(31, 90)})['img'].shape == (32, 32, 3)
