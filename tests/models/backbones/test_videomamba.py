import pytest
import torch
import torch.nn.functional as F

from tests.golden import Golden
from tests.models.backbones.contract import BackboneContract
from transmamba_mm.convert import build_from_official
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.videomamba import (
    VideoMamba,
    inflate_kernel,
    resize_temporal_positions,
)
from transmamba_mm.models.backbones.vim import Vim

CONFIG = {
    'type': 'VideoMamba',
    'arch': {'embed_dims': 32, 'num_layers': 2, 'state_dims': 8},
    'img_size': 32,
    'patch_size': 8,
    'num_frames': 4,
}


class TestImages(BackboneContract):
    """A model of clips that is shown images."""

    config = CONFIG

    def test_an_image_is_a_clip_of_one_frame(self):
        model = self.build(num_frames=1)
        images = self.images()
        torch.testing.assert_close(model(images), model(images.unsqueeze(2)))

    def test_with_tubelets_an_image_is_a_still(self):
        model = self.build(tubelet_size=2)
        images = self.images()
        still = images.unsqueeze(2).expand(-1, -1, 2, -1, -1)
        torch.testing.assert_close(model(images), model(still))

    def test_a_model_of_images_is_a_vim_with_cls_first(self):
        model = self.build(num_frames=1)
        vim = Vim(CONFIG['arch'], 32, 8, cls_position='first', average_directions=False).eval()
        weights = model.state_dict()
        del weights['temporal_pos_embed']
        weights['patch_embed.proj.weight'] = weights['patch_embed.proj.weight'].squeeze(2)
        vim.load_state_dict(weights)
        images = self.images()
        torch.testing.assert_close(model(images), vim(images))

    def test_an_image_stands_in_the_middle_of_the_positions_in_time(self):
        model = self.build()
        torch.nn.init.normal_(model.temporal_pos_embed)
        spatial = model.pos_embed[:, 1:]
        middle = model.temporal_pos_embed[:, 1:3].mean(1, keepdim=True)
        torch.testing.assert_close(model.positions((4, 4))[:, 1:], spatial + middle)


class TestClips(BackboneContract):
    config = {**CONFIG, 'tubelet_size': 2}
    image_size = (4, 32, 32)
    other_size = (6, 32, 48)

    def test_layer_features_in_canonical_order_follow_the_image(self):
        """A change in one frame moves the tokens of that frame's tubelet, at its place."""
        model = self.build()
        (grid,) = set(model.layer_grids(self.image_size))
        assert grid == (2, 4, 4)
        seen = {}
        model.blocks[0].register_forward_hook(lambda _m, _i, out: seen.update(out=out))
        clip = self.images(batch=1)
        model(clip)
        before, cls = model.to_canonical(seen['out'], grid)
        assert before.shape == (1, 32, 32) and cls.shape == (1, 32)
        clip[:, :, 2, 8:16, :8] += 5.0  # third frame, second row of patches, first of them
        model(clip)
        after, _ = model.to_canonical(seen['out'], grid)
        change = (after - before).norm(dim=-1).unflatten(1, grid)[0]
        assert change[1, 1, 0] == change.max()

    def test_the_feature_map_keeps_the_frames_apart(self):
        model = self.build(out_type='raw', final_norm=False)
        raw = model(self.images())[0]
        model.out_type = 'featmap'
        featmap = model(self.images())[0]
        assert featmap.shape == (2, 32, 2, 4, 4)
        torch.testing.assert_close(featmap[:, :, 1, 2, 3], raw[:, 1 + 16 + 2 * 4 + 3])

    def test_clip_directions_are_permutations(self):
        order = self.build().directions((2, 3, 5))
        assert order.shape == (2, 30)
        assert torch.equal(order[1], order[0].flip(0))

    def test_positions_of_space_and_time_add_up_on_patches_only(self):
        model = self.build()
        torch.nn.init.normal_(model.temporal_pos_embed)
        positions = model.positions((2, 4, 4))
        assert torch.equal(positions[:, 0], model.pos_embed[:, 0])
        expected = model.pos_embed[:, 1 + 6] + model.temporal_pos_embed[:, 1]
        torch.testing.assert_close(positions[:, 1 + 16 + 6], expected)

    def test_tokens_are_those_of_the_official_construction(self):
        """Cls and spatial positions in every frame, then positions in time on all patches."""
        model = self.build(img_size=(32, 48))
        torch.nn.init.normal_(model.temporal_pos_embed)
        clips = self.images((4, 32, 48))
        x = model.patch_embed.proj(clips)
        batch, width, tubelets = x.shape[:3]
        frames = x.permute(0, 2, 3, 4, 1).reshape(batch * tubelets, -1, width)
        frames = torch.cat([model.cls_token.expand(len(frames), -1, -1), frames], 1)
        frames = (frames + model.pos_embed).reshape(batch, tubelets, -1, width)
        patches = frames[:, :, 1:] + model.temporal_pos_embed[:, :, None]
        expected = torch.cat([frames[:, 0, :1], patches.reshape(batch, -1, width)], 1)
        tokens, grid = model.embed(clips)
        assert grid == (2, 4, 6)
        torch.testing.assert_close(tokens, expected)

    def test_frames_that_tubelets_do_not_cover_are_a_user_error(self):
        with pytest.raises(UserError, match=r'5 frames is not covered.*use 4 or 6'):
            self.build()(self.images((5, 32, 32)))
        with pytest.raises(UserError, match='not covered'):
            self.build(num_frames=3)

    def test_other_shapes_and_options_are_user_errors(self):
        with pytest.raises(UserError, match='clips'):
            self.build()(torch.zeros(3, 32, 32))
        for wrong in ({'inflate': 'first'}, {'norm': 'batch'}):
            with pytest.raises(UserError, match='choose one of'):
                self.build(**wrong)

    @pytest.mark.parametrize('inflate', ['center', 'mean'])
    def test_weights_of_an_image_model_load_inflated(self, inflate):
        image_model = self.build(num_frames=1, tubelet_size=1)
        weights = image_model.state_dict()
        del weights['temporal_pos_embed']
        weights['patch_embed.proj.weight'] = weights['patch_embed.proj.weight'].squeeze(2)
        model = self.build(inflate=inflate)
        model.load_state_dict(weights)
        images = self.images((32, 32))
        torch.testing.assert_close(model(images), image_model(images))


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32], ids=['fp64', 'fp32'])
def test_official_numbers(dtype):
    """Logits and every intermediate of the golden file, in both precisions."""
    golden = Golden('videomamba_t4')
    model = build_from_official('videomamba', golden.state_dict, 32, num_frames=4).to(dtype)
    seen = {}
    for i, block in enumerate(model.backbone.blocks):
        block.register_forward_hook(
            lambda _m, inputs, _o, i=i: seen.update({f'layer{i}.residual': inputs[0]})
        )
        block.mixer.register_forward_hook(
            lambda _m, _i, out, i=i: seen.update({f'layer{i}.hidden': out})
        )
    clips = golden.input('x', dtype)
    with torch.no_grad():
        seen['logits'] = model(clips)
        seen['tokens_in'] = seen['layer0.residual']
        seen['features'] = model.backbone(clips)[-1]
        model.backbone.out_type = 'raw'
        seen['final_norm'] = model.backbone(clips)[-1]
        seen['patch_embed'] = model.backbone.patch_embed.proj(clips)
    assert seen.keys() == set(golden.outputs())
    for name, value in seen.items():
        golden.check(name, value)


def test_temporal_positions_are_linear_in_time():
    positions = torch.arange(4.0).reshape(1, 4, 1)
    assert resize_temporal_positions(positions, 4) is positions
    assert resize_temporal_positions(positions, 2).flatten().tolist() == [0.5, 2.5]
    assert resize_temporal_positions(positions, 8).flatten().tolist() == [
        0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3,
    ]  # fmt: skip


@pytest.mark.parametrize('frames, center', [(1, 0), (2, 1), (3, 1), (4, 2)])
def test_inflation_fills_the_center_frame_or_all(frames, center):
    kernel, clip = torch.randn(5, 3, 2, 2), torch.randn(1, 3, frames, 4, 4)
    centered = F.conv3d(clip, inflate_kernel(kernel, frames, 'center'))
    torch.testing.assert_close(centered[:, :, 0], F.conv2d(clip[:, :, center], kernel))
    mean = F.conv3d(clip, inflate_kernel(kernel, frames, 'mean'))
    torch.testing.assert_close(mean[:, :, 0], F.conv2d(clip.mean(2), kernel))


@pytest.mark.parametrize('arch, millions', [('tiny', 7), ('small', 26), ('middle', 74)])
def test_released_sizes(arch, millions):
    """Parameters of the paper's models (with their 1000-class head), in millions."""
    with torch.device('meta'):
        model = VideoMamba(arch)
        count = sum(p.numel() for p in model.parameters()) + 1000 * (model.embed_dims + 1)
    assert count / 1e6 == pytest.approx(millions, abs=0.6)
