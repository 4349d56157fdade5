import pytest
import torch
from torch import Tensor

from tests.golden import TOLERANCES, Golden
from tests.models.backbones.contract import BackboneContract
from transmamba_mm.convert import build_from_official
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.vmamba import ARCHS, ConvDownsample, PatchMerging, VMamba

SIZES = {'embed_dims': (16, 32), 'depths': (2, 1)}


class TestVMamba(BackboneContract):
    """The later recipes: convolutional stem and downsampling, an MLP, no gate."""

    config = {'type': 'VMamba', 'arch': {**ARCHS['tiny'], **SIZES}}

    def test_image_that_patches_do_not_cover_is_a_user_error(self):
        """The stem pads: it covers any image."""
        model = self.build(out_type='featmap')
        assert model(self.images((33, 35)))[0].shape == (2, 32, 5, 5)

    def test_every_stage_for_a_detector(self):
        model = self.build(out_indices=(0, 1), out_type='featmap', norm_outputs=True)
        images = self.images((40, 56))
        outs = model(images)
        assert [out.shape[1:] for out in outs] == [(16, 10, 14), (32, 5, 7)]
        for out in outs:  # normalized, each by its own norm
            torch.testing.assert_close(out.mean(1), torch.zeros_like(out[:, 0]), atol=1e-5, rtol=0)
        sum(out.square().sum() for out in outs).backward()
        assert all(parameter.grad is not None for parameter in model.parameters())

    def test_outputs_of_inner_stages_are_the_layers_features(self):
        model = self.build(out_indices=0, out_type='raw')
        seen = {}
        last_of_stage = model.get_submodule('stages.0.blocks.1')
        last_of_stage.register_forward_hook(lambda _m, _i, out: seen.update(out=out))
        assert torch.equal(model(self.images())[0], seen['out'].flatten(1, 2))

    def test_no_final_norm(self):
        assert not list(self.build(final_norm=False).norm.parameters())

    def test_layers_run_through_the_stages(self):
        model = self.build()
        assert model.layer_paths()[-1] == 'stages.1.blocks.0'
        assert model.layer_dims() == [16, 16, 32]
        assert model.layer_grids((32, 48)) == [(8, 12), (8, 12), (4, 6)]

    def test_downsampling_learns_at_the_pace_of_the_block_before_it(self):
        model = self.build()
        assert model.get_layer_depth('stages.0.downsample.conv.weight') == (2, 5)
        assert model.get_layer_depth('stages.1.blocks.0.norm1.weight') == (3, 5)

    def test_no_cls_token(self):
        with pytest.raises(UserError, match='no cls token'):
            self.build(out_type='cls_token')

    def test_stages_without_a_width_are_a_user_error(self):
        with pytest.raises(UserError, match='one entry for each stage'):
            self.build(arch={**ARCHS['tiny'], 'embed_dims': (16, 32, 64)})

    def test_unknown_parts_are_user_errors(self):
        for part in ('patch_embed', 'downsample'):
            with pytest.raises(UserError, match=f'{part}=.*choose one of'):
                self.build(arch={**ARCHS['tiny'], part: 'v9'})

    def test_the_stem_refuses_small_patches(self):
        with pytest.raises(UserError, match='patch_size=2'):
            self.build(patch_size=2)

    def test_drop_path_grows_over_all_blocks(self):
        model = self.build(drop_path_rate=0.5)
        rates = [
            getattr(model.get_submodule(path).drop_path, 'drop_prob', 0.0)
            for path in model.layer_paths()
        ]
        assert rates == [0.0, 0.25, 0.5]
        images = self.images(batch=32)
        assert torch.equal(model(images)[0], model(images)[0])
        model.train()
        assert not torch.equal(model(images)[0], model(images)[0])

    def test_autocast_keeps_the_stream_close_to_float32(self):
        model = self.build()
        with torch.autocast('cpu', dtype=torch.bfloat16):
            low = model(self.images())[0]
        torch.testing.assert_close(low.float(), model(self.images())[0], atol=0.1, rtol=0.1)


class TestOriginalVMamba(BackboneContract):
    """The first recipe: patches, patch merging, gates, no MLP."""

    config = {'type': 'VMamba', 'arch': {**ARCHS['tiny-v0'], **SIZES, 'state_dims': 4}}


class TestNanoVMamba(BackboneContract):
    """Gray images of 8x8, as of the digits."""

    config = {'type': 'VMamba', 'arch': 'nano', 'patch_size': 2, 'in_channels': 1}
    in_channels = 1
    image_size = (8, 8)
    other_size = (32, 24)

    def test_grids_of_the_digits(self):
        assert self.build().layer_grids((8, 8)) == [(4, 4)] * 4 + [(2, 2)] * 2


class TestDownsampling:
    def test_merging_joins_cells_column_by_column(self):
        merging = PatchMerging(1, 2)
        seen = []
        merging.norm.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
        merging(torch.arange(4.0).reshape(1, 2, 2, 1))
        assert seen[0].flatten().tolist() == [0, 2, 1, 3]

    @pytest.mark.parametrize('kernel_size, grid', [(2, (2, 3)), (3, (3, 4))])
    def test_odd_grids(self, kernel_size, grid):
        downsample = ConvDownsample(4, 8, kernel_size)
        assert downsample.grid((5, 7)) == grid
        assert downsample(torch.randn(1, 5, 7, 4)).shape == (1, *grid, 8)

    def test_merging_pads_odd_grids(self):
        merging = PatchMerging(4, 8)
        assert merging.grid((5, 7)) == (3, 4)
        assert merging(torch.randn(1, 5, 7, 4)).shape == (1, 3, 4, 8)

    def test_an_image_too_small_for_the_stages_is_a_user_error(self):
        arch = {**ARCHS['tiny'], **SIZES, 'downsample': 'conv2'}
        with pytest.raises(UserError, match='too small'):
            VMamba(arch)(torch.randn(1, 3, 4, 4))


def check(golden: Golden, key: str, actual: Tensor) -> None:
    """Compare with a record that may be channel-first, flat, or kept in float32 only."""
    dtype = actual.dtype if f'out/{key}__f64' in golden.file.files else torch.float32
    expected = golden.output(key, dtype)
    if golden.meta['layout'] == 'B,C,H,W' and expected.dim() == 4:
        expected = expected.permute(0, 2, 3, 1)
    atol, rtol = TOLERANCES[dtype]
    actual = actual.reshape(expected.shape).to(dtype)
    torch.testing.assert_close(actual, expected, atol=atol, rtol=rtol, msg=lambda m: f'{key}: {m}')


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32], ids=['fp64', 'fp32'])
@pytest.mark.parametrize('prefix, image', [('', 'x'), ('rect/', 'x_rect')], ids=['square', 'rect'])
@pytest.mark.parametrize('name', ['vmamba_v05_noz_s1', 'vmamba_v0'])
def test_official_numbers(name, prefix, image, dtype):
    """The golden files: logits and every intermediate they hold, in both precisions."""
    golden = Golden(name)
    model = build_from_official('vmamba', golden.state_dict, 64).to(dtype)
    seen: dict[str, Tensor] = {}

    def watch(name, path, pick=lambda _inputs, out: out):
        module = model.backbone.get_submodule(path)
        module.register_forward_hook(
            lambda _m, inputs, out: seen.update({prefix + name: pick(inputs, out)})
        )

    block = 'stages.0.blocks.0'
    watch('patch_embed', 'patch_embed')
    watch('block0.norm', f'{block}.norm1')
    watch('block0.in_proj', f'{block}.ss2d.in_proj')
    watch('block0.scan_merged', f'{block}.ss2d.norm', lambda inputs, _: inputs[0])
    watch('block0.out_norm', f'{block}.ss2d.norm')
    watch('block0.ss2d_out', f'{block}.ss2d')
    watch('block0.out', block)
    for i in range(len(model.backbone.stages)):
        watch(f'stage{i}.blocks', f'stages.{i}', lambda _, out: out[0])
        watch(f'stage{i}', f'stages.{i}', lambda _, out: out[1])
    with torch.no_grad():
        images = golden.input(image, dtype)
        seen[f'{prefix}logits'] = model(images)
        seen[f'{prefix}pooled'] = model.backbone(images)[-1]

    recorded = [key for key in golden.outputs() if key.startswith('rect/') == bool(prefix)]
    assert set(recorded) == seen.keys()
    for key in recorded:
        check(golden, key, seen[key])


@pytest.mark.parametrize(
    'arch, millions',
    [
        ('tiny', 30.2),
        ('tiny-s2l5', 30.7),
        ('small-s2l15', 50.1),
        ('base-s2l15', 88.6),
        ('tiny-v0', 22.9),
    ],
)
def test_released_sizes(arch, millions):
    """Parameters of the released models (with their 1000-class head), in millions."""
    with torch.device('meta'):
        model = VMamba(arch)
        count = sum(p.numel() for p in model.parameters()) + 1000 * (model.embed_dims + 1)
    assert count / 1e6 == pytest.approx(millions, abs=0.05)
