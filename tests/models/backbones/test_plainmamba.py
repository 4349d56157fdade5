import pytest
import torch

from tests.golden import Golden
from tests.models.backbones.contract import BackboneContract
from transmamba_mm.convert import build_from_official
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.plainmamba import PlainMamba
from transmamba_mm.models.mixers import SnakePath
from transmamba_mm.registry import MODELS

ARCH = {
    'embed_dims': 32,
    'num_layers': 2,
    'state_dims': 8,
    'stem_dims': 16,
    'stem_convs': 1,
    'dwconv_layers': (1,),
}


class TestPlainMamba(BackboneContract):
    config = {'type': 'PlainMamba', 'arch': ARCH, 'img_size': 32, 'patch_size': 8}

    def test_there_is_no_cls_token(self):
        with pytest.raises(UserError, match='no cls token'):
            self.build(out_type='cls_token')

    def test_odd_patches_are_a_user_error(self):
        with pytest.raises(UserError, match='even'):
            self.build(patch_size=7)

    def test_a_depthwise_block_beyond_the_last_layer_is_a_user_error(self):
        with pytest.raises(UserError, match='dwconv_layers'):
            self.build(arch={**ARCH, 'dwconv_layers': (2,)})

    def test_positions_follow_the_grid(self):
        model = self.build()
        assert model.positions((4, 4)) is model.pos_embed
        assert model.positions((4, 6)).shape == (1, 24, 32)

    def test_drop_path_acts_in_training_only(self):
        model = self.build(drop_path_rate=0.5)
        images = self.images(batch=32)
        assert torch.equal(model(images)[0], model(images)[0])
        model.train()
        assert not torch.equal(model(images)[0], model(images)[0])


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32], ids=['fp64', 'fp32'])
class TestOfficialNumbers:
    """The golden file: every intermediate it holds, in both precisions, square and not."""

    @pytest.fixture
    def golden(self):
        return Golden('plainmamba_l1like')

    @pytest.fixture
    def model(self, golden, dtype):
        img_size = golden.meta['config']['img_size']
        return build_from_official('plainmamba', golden.state_dict, img_size).to(dtype)

    @torch.no_grad()
    def seen(self, model, images) -> dict:
        """The golden file's entries, from our model on ``images``."""
        seen, backbone = {}, model.backbone

        def record(name):
            return lambda _m, _i, out: seen.update({name: out})

        backbone.patch_embed.register_forward_hook(record('patch_embed'))
        backbone.norm.register_forward_hook(record('final_norm'))
        backbone.blocks[0].register_forward_pre_hook(
            lambda _m, inputs: seen.update(tokens_in=inputs[0], path=inputs[1])
        )
        for i, block in enumerate(backbone.blocks):
            block.register_forward_hook(record(f'layer{i}.out'))
            block.mixer.register_forward_hook(record(f'layer{i}.mamba'))
        backbone.blocks[0].norm.register_forward_hook(record('mixer_in'))
        seen['logits'] = model(images)
        return seen | self.scan_of_first_mixer(backbone, seen['mixer_in'], seen['path'])

    def scan_of_first_mixer(self, backbone, mixer_in, path: SnakePath) -> dict:
        """Inputs and outputs of each direction's scan, in the official (scanned) order."""
        mixer = backbone.blocks[0].mixer
        u = mixer.convolve(mixer.in_proj(mixer_in).chunk(2, -1)[0], path.grid)
        delta, B, _ = mixer.scan_parameters(u, path)
        y = mixer.scan(u, None, path, 'none')
        inside = {}
        for k, order in enumerate(path.order):
            inside[f'layer0.dir{k}.u'] = u[:, order].transpose(1, 2)
            inside[f'layer0.dir{k}.B'] = B[:, None, k, order].transpose(2, 3)
            inside[f'layer0.dir{k}.y'] = y[:, k, order].transpose(1, 2)
        once_biased = delta[:, 0, path.order[0]] + mixer.dt_proj.bias
        return {**inside, 'layer0.dir0.delta_raw': once_biased.transpose(1, 2)}

    @pytest.mark.parametrize('image', ['x', 'x_rect'])
    def test_everything_recorded(self, golden, model, dtype, image):
        seen = self.seen(model, golden.input(image, dtype))
        prefix = 'rect/' if image == 'x_rect' else ''
        for name in golden.outputs():
            if name.startswith('perm/') or name.startswith('rect/') != bool(prefix):
                continue
            recorded = f'out/{name}__f64' if dtype == torch.float64 else f'out/{name}'
            if recorded in golden.file.files:
                golden.check(name, seen[name.removeprefix(prefix)])

    def test_features_are_the_mean_of_the_final_norm(self, golden, model, dtype):
        images = golden.input('x', dtype)
        expected = golden.output('final_norm', dtype).mean(1)
        torch.testing.assert_close(model.backbone(images)[-1], expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize('quirk', ['parameters_in_raster_order', 'double_dt_bias'])
def test_released_weights_need_each_quirk(quirk):
    golden = Golden('plainmamba_l1like')
    model = build_from_official('plainmamba', golden.state_dict, 32, **{quirk: False}).double()
    difference = model(golden.input('x', torch.float64)) - golden.output('logits', torch.float64)
    assert difference.abs().max() > 0.01


@pytest.mark.parametrize('arch, millions', [('L1', 7.3), ('L2', 25.7), ('L3', 50.5)])
def test_released_sizes(arch, millions):
    """Parameters in millions, as the paper counts them: without the head."""
    with torch.device('meta'):
        count = sum(p.numel() for p in PlainMamba(arch).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.1)


def test_nano_reads_digits():
    model = MODELS.build(
        {'type': 'PlainMamba', 'arch': 'nano', 'img_size': 8, 'patch_size': 2, 'in_channels': 1}
    )
    assert model.patch_grid((8, 8)) == (4, 4)
    assert model(torch.randn(2, 1, 8, 8))[0].shape == (2, 64)
