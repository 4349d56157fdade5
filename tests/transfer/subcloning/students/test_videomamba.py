"""Images become clips."""

import pytest
import torch

from tests.transfer.small_models import trained, videomamba_config, vit_config
from tests.transfer.subcloning.subclone import lines_of, subclone


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize('tubelet', [1, 2, 3])
def test_a_tubelet_reads_its_center_frame(tubelet):
    student = videomamba_config(dims=24, tubelet_size=tubelet, num_frames=2 * tubelet)
    _, after, weights, report = subclone(student, vit_config(dims=24))
    kernel = after['backbone.patch_embed.proj.weight']
    assert kernel.shape[2] == tubelet
    center = tubelet // 2
    theirs = weights['patch_embed.weight']
    assert torch.equal(kernel[:, :, center], theirs)
    others = [t for t in range(tubelet) if t != center]
    assert not kernel[:, :, others].any()
    line = lines_of(report)['backbone.patch_embed.proj.weight']
    assert line.status == ('cloned' if tubelet == 1 else 'resized')


def test_embeddings_of_both_models_agree_on_a_still():
    student, teacher = trained(videomamba_config(dims=24)), trained(vit_config(dims=24))
    with torch.no_grad():
        student.backbone.temporal_pos_embed.zero_()
    subclone(student, teacher)
    tokens = {}
    student.backbone.blocks[0].register_forward_pre_hook(
        lambda _, args: tokens.update(student=args[0])
    )
    teacher.backbone.layers[0].register_forward_pre_hook(
        lambda _, args: tokens.update(teacher=args[0])
    )
    image = torch.randn(2, 1, 8, 8)
    student.eval()(image.unsqueeze(2).expand(-1, -1, 4, -1, -1)), teacher.eval()(image)
    patches, cls = student.backbone.to_canonical(tokens['student'], (4, 4, 4))
    for frame in patches.chunk(4, dim=1):
        torch.testing.assert_close(frame, tokens['teacher'][:, 1:])
    torch.testing.assert_close(cls, tokens['teacher'][:, 0])


def test_other_patch_and_grid():
    student = videomamba_config(dims=16, patch=4, img_size=24, tubelet_size=2)
    _, after, weights, report = subclone(student, vit_config(dims=24))
    kernel = after['backbone.patch_embed.proj.weight'][:, :, 1]
    (kept,) = report.residual_channels.values()
    theirs = weights['patch_embed.weight'][kept]
    torch.testing.assert_close(kernel.sum((-2, -1)), theirs.sum((-2, -1)))
    lines = lines_of(report)
    assert 'patch 2x2 to 4x4' in lines['backbone.patch_embed.proj.weight'].slice
    assert 'grid 4x4 to 6x6; cls to entry 0' in lines['backbone.pos_embed'].slice


def test_positions_in_time_keep_their_start():
    before, after, _, report = subclone(videomamba_config(), vit_config())
    key = 'backbone.temporal_pos_embed'
    assert torch.equal(before[key], after[key])
    assert 'positions in time' in lines_of(report)[key].rule
