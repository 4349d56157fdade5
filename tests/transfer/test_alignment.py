import pytest
import torch
import torch.nn.functional as F

from transmamba_mm.transfer.features.alignment import resize_kernel, to_grid


def plane(grid):
    """Patches (1, L, 3) that hold (row, column, 1), counted from 0 to 1 over the image."""
    rows, cols = ((torch.arange(n, dtype=torch.float64) + 0.5) / n for n in grid)
    rows, cols = torch.meshgrid(rows, cols, indexing='ij')
    return torch.stack([rows, cols, torch.ones_like(rows)], dim=-1).reshape(1, -1, 3)


@pytest.mark.parametrize('grid, target', [((8, 12), (4, 3)), ((4, 6), (2, 3)), ((6, 6), (2, 3))])
def test_shrinking_keeps_rows_columns_and_means(grid, target):
    shrunk = to_grid(plane(grid), grid, target)
    assert shrunk.shape == (1, target[0] * target[1], 3)
    torch.testing.assert_close(shrunk.mean(1), plane(target).mean(1))
    rows, cols = shrunk[0, :, 0].view(target), shrunk[0, :, 1].view(target)
    assert (rows.diff(dim=0) > 0).all() and (cols.diff(dim=1) > 0).all()
    torch.testing.assert_close(rows, rows[:, :1].expand_as(rows))
    torch.testing.assert_close(cols, cols[:1].expand_as(cols))


def test_growing_is_linear_inside():
    grown = to_grid(plane((4, 4)), (4, 4), (8, 8)).view(8, 8, 3)
    expected = plane((8, 8)).view(8, 8, 3)
    torch.testing.assert_close(grown[1:-1, 1:-1], expected[1:-1, 1:-1])


def test_equal_grids_are_left_alone():
    patches = torch.randn(2, 6, 4)
    assert to_grid(patches, (2, 3), (2, 3)) is patches


def test_wrong_grid_is_an_error():
    with pytest.raises(ValueError, match='6 patches do not fill'):
        to_grid(torch.randn(2, 6, 4), (2, 2), (4, 4))


def test_an_image_and_a_clip_do_not_compare():
    with pytest.raises(ValueError, match='cannot be compared'):
        to_grid(torch.randn(2, 6, 4), (2, 3), (1, 2, 3))


def test_frames_of_a_clip_are_resampled_alone():
    clip = torch.randn(2, 3, 4 * 4, 5, dtype=torch.float64)
    frames = [to_grid(clip[:, t], (4, 4), (2, 3)) for t in range(3)]
    resampled = to_grid(clip.flatten(1, 2), (3, 4, 4), (3, 2, 3))
    torch.testing.assert_close(resampled, torch.cat(frames, dim=1))


def test_time_is_resampled_linearly():
    clip = torch.arange(4.0).view(1, 4, 1, 1).expand(1, 4, 6, 2)  # each frame holds its number
    halved = to_grid(clip.flatten(1, 2), (4, 2, 3), (2, 2, 3)).view(2, 6, 2)
    torch.testing.assert_close(halved[0].mean() + halved[1].mean(), torch.tensor(3.0))
    assert halved[0].std() < 1e-6 and 0 < halved[0].mean() < 1
    doubled = to_grid(clip.flatten(1, 2), (4, 2, 3), (8, 2, 3)).view(8, 6, 2)[:, 0, 0]
    torch.testing.assert_close(doubled[1:-1], torch.arange(0.25, 3, 0.5))


def test_works_in_half_precision_with_gradients():
    patches = torch.randn(2, 16, 4, dtype=torch.bfloat16, requires_grad=True)
    out = to_grid(patches, (4, 4), (2, 2))
    out.sum().backward()
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(patches.grad.sum(1), torch.full_like(patches[:, 0], 4.0))


@pytest.mark.parametrize('size', [(8, 8), (32, 32), (14, 10)])
def test_resized_kernel_embeds_flat_and_smooth_patches_alike(size):
    torch.manual_seed(0)
    kernel = torch.randn(5, 3, 16, 16, dtype=torch.float64)
    resized = resize_kernel(kernel, size)
    assert resized.shape == (5, 3, *size)
    torch.testing.assert_close(resized.sum((-2, -1)), kernel.sum((-2, -1)))
    smooth = F.interpolate(torch.randn(5, 3, 2, 2, dtype=torch.float64), (16, 16), mode='bicubic')
    image = torch.randn(1, 3, 2, 2, dtype=torch.float64)
    before, after = (
        (k * F.interpolate(image, k.shape[-2:], mode='bilinear')).sum((1, 2, 3))
        for k in (smooth, resize_kernel(smooth, size))
    )
    assert (after - before).norm() < 0.05 * before.norm()


def test_kernel_of_equal_size_is_left_alone():
    kernel = torch.randn(5, 3, 4, 4)
    assert resize_kernel(kernel, (4, 4)) is kernel
