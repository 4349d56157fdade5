"""Checkpoints of clips and of images, to our VideoMamba and back."""

import pytest
import torch
import torch.nn.functional as F

from tests.golden import Golden
from transmamba_mm.convert import build_from_official, from_official, to_official
from transmamba_mm.errors import UserError


@pytest.fixture
def official():
    return Golden('videomamba_t4').state_dict


@pytest.fixture
def of_images(official):
    """As the released ImageNet models: a 2-D kernel, no positions in time."""
    del official['temporal_pos_embedding']
    official['patch_embed.proj.weight'] = official['patch_embed.proj.weight'].squeeze(2)
    return official


def build(state_dict, img_size=32, **overrides):
    return build_from_official('videomamba', state_dict, img_size, **overrides)


def assert_round_trip(official):
    back = to_official('videomamba', from_official('videomamba', {'model': official}))
    assert back.keys() == official.keys()
    assert all(torch.equal(back[key], official[key]) for key in official)


def test_round_trip_of_clips(official):
    assert_round_trip(official)


def test_round_trip_of_images(of_images):
    assert_round_trip(of_images)


def test_a_built_model_goes_back_to_the_official_names(official):
    back = to_official('videomamba', build(official).state_dict())
    assert back.keys() == official.keys()
    assert all(torch.equal(back[key], official[key]) for key in official)


def test_a_built_model_of_images_goes_back_to_an_official_one_of_images(of_images):
    model = build(of_images)
    back = to_official('videomamba', model.state_dict())
    assert back.keys() == of_images.keys()
    assert all(torch.equal(back[key], of_images[key]) for key in of_images)
    torch.nn.init.normal_(model.backbone.temporal_pos_embed)  # as a training leaves it
    again = build(to_official('videomamba', model.state_dict()))
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(again(images), model(images))


def test_frames_are_inferred_from_the_positions_in_time(official):
    backbone = build(official).backbone
    assert (backbone.num_frames, backbone.tubelet_size) == (4, 1)
    kernel = official['patch_embed.proj.weight']
    official['patch_embed.proj.weight'] = kernel.repeat(1, 1, 2, 1, 1) / 2
    backbone = build(official).backbone
    assert (backbone.num_frames, backbone.tubelet_size) == (8, 2)


def test_positions_are_resized_in_space_and_time(official):
    model = build(official, (48, 64), num_frames=6)
    space, time = model.backbone.pos_embed, model.backbone.temporal_pos_embed
    assert space.shape == (1, 6 * 8 + 1, 32)
    assert torch.equal(space[:, 0], official['pos_embed'][:, 0])
    grid = official['pos_embed'][:, 1:].transpose(1, 2).reshape(1, 32, 4, 4)
    grid = F.interpolate(grid, (6, 8), mode='bicubic', align_corners=False)
    torch.testing.assert_close(space[:, 1:], grid.flatten(2).transpose(1, 2))
    frames = F.interpolate(official['temporal_pos_embedding'].transpose(1, 2), 6, mode='linear')
    torch.testing.assert_close(time, frames.transpose(1, 2))
    assert model(torch.randn(1, 3, 6, 48, 64)).shape == (1, 10)


def test_resizing_at_build_equals_resizing_at_run_time(official):
    clips = torch.randn(1, 3, 6, 64, 64)
    built = build(official, 64, num_frames=6)(clips)
    torch.testing.assert_close(build(official)(clips), built)


def test_an_image_checkpoint_is_a_model_of_one_frame(of_images):
    model = build(of_images)
    assert model.backbone.num_frames == 1
    assert not model.backbone.temporal_pos_embed.any()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model(images), model(images.unsqueeze(2)))


@pytest.mark.parametrize('inflate', ['center', 'mean'])
def test_an_image_checkpoint_inflates_to_clips(of_images, inflate):
    model = build(of_images, num_frames=6, kernel_size=3, inflate=inflate)
    assert model.backbone.temporal_pos_embed.shape == (1, 2, 32)
    kernel = model.backbone.patch_embed.proj.weight
    flat = of_images['patch_embed.proj.weight']
    if inflate == 'center':
        assert torch.equal(kernel[:, :, 1], flat) and not kernel[:, :, [0, 2]].any()
    else:
        torch.testing.assert_close(kernel, flat.unsqueeze(2).expand(-1, -1, 3, -1, -1) / 3)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model(images), build(of_images)(images))
    assert model(torch.randn(1, 3, 6, 32, 32)).isfinite().all()


def test_converted_image_weights_load_into_a_model_of_clips(of_images):
    """The output of tools/convert.py loads by a config with a checkpoint."""
    model = build(of_images, num_frames=4)
    weights = from_official('videomamba', of_images)
    for parameter in model.parameters():
        parameter.data.zero_()
    model.load_state_dict(weights)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model(images), build(of_images)(images))


def test_double_precision_stays(of_images):
    model = build({key: value.double() for key, value in of_images.items()}, 64, num_frames=2)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}


def test_unknown_and_missing_keys_are_named(official):
    with pytest.raises(UserError, match=r'clip_decoder\.0\.head\.weight.*pretraining'):
        build({**official, 'clip_decoder.0.head.weight': torch.zeros(1)})
    with pytest.raises(UserError, match='not official Vim keys: temporal_pos_embedding'):
        build_from_official('vim', official, 32)
    del official['temporal_pos_embedding']
    with pytest.raises(UserError, match=r'temporal_pos_embed: model .1, 1, 32., checkpoint -'):
        build(official)
    with pytest.raises(UserError, match='no VideoMamba checkpoint'):
        build({'pos_embed': torch.zeros(1, 4, 3)})


def test_a_tubelet_of_another_length_does_not_fit_a_clip_checkpoint(official):
    with pytest.raises(UserError, match=r'patch_embed.proj.weight: model \(32, 3, 2, 8, 8\)'):
        build(official, kernel_size=2)
