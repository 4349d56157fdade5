"""RandomAffine: one resampling of a whole batch, black outside, the same under one seed."""

import pytest
import torch

from transmamba_mm.datasets import RandomAffine

SCORES = torch.eye(10)[:4]


def picture() -> torch.Tensor:
    """Four images (4, 1, 8, 8) of a bright square on black."""
    images = torch.full((4, 1, 8, 8), -0.8)
    images[:, :, 2:6, 2:6] = 1.5
    return images


def test_no_strength_is_no_change():
    moved, scores = RandomAffine(fill=-0.8)(picture(), SCORES)
    torch.testing.assert_close(moved, picture())
    assert scores is SCORES or torch.equal(scores, SCORES)


def test_fill_is_what_comes_in_from_outside():
    moved, _ = RandomAffine(translate=1.0, fill=-0.8)(picture(), SCORES)
    assert moved.min() >= -0.8 - 1e-6
    assert not torch.equal(moved, picture())


def test_images_move_apart_and_seed_decides():
    augment = RandomAffine(rotate=30.0, translate=0.1, scale=0.1, shear=10.0, fill=-0.8)
    torch.manual_seed(0)
    first, _ = augment(picture(), SCORES)
    torch.manual_seed(0)
    again, _ = augment(picture(), SCORES)
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize(
    ('strength', 'largest'),
    [({'rotate': 90.0}, 1.0), ({'scale': 0.2}, 1.2), ({'shear': 45.0}, 1.0)],
)
def test_maps_stay_in_range(strength, largest):
    theta = RandomAffine(**strength).sample(500)
    assert theta[:, :, :2].abs().max() <= largest + 1e-6
    assert torch.equal(theta[:, :, 2], torch.zeros(500, 2))


def test_rotation_keeps_lengths():
    linear = RandomAffine(rotate=45.0).sample(100)[:, :, :2]
    identity = torch.eye(2).expand(100, 2, 2)
    torch.testing.assert_close(linear @ linear.transpose(1, 2), identity, atol=1e-6, rtol=0)


def test_translation_is_a_share_of_the_side():
    # Half of the side is a shift by 1 in affine_grid's [-1, 1] coordinates.
    shift = RandomAffine(translate=0.5).sample(500)[:, :, 2]
    assert 0.95 < shift.abs().max() <= 1


@pytest.mark.parametrize(('flip', 'mirrored'), [(0.0, 0), (1.0, 4)])
def test_flip_mirrors_left_and_right(flip, mirrored):
    images = torch.arange(4.0 * 8 * 8).view(4, 1, 8, 8)
    moved, _ = RandomAffine(flip=flip)(images, SCORES)
    expected = images.flip(-1) if mirrored else images
    torch.testing.assert_close(moved, expected, atol=1e-4, rtol=0)


def test_half_are_mirrored_and_the_rest_is_drawn_as_before():
    torch.manual_seed(0)
    plain = RandomAffine(translate=0.1, rotate=10.0).sample(1000)
    torch.manual_seed(0)
    theta = RandomAffine(translate=0.1, rotate=10.0, flip=0.5).sample(1000)
    signs = (theta[:, 0, 0] / plain[:, 0, 0]).round()
    assert 400 < (signs == -1).sum() < 600
    torch.testing.assert_close(theta[:, :, 1:], plain[:, :, 1:])
