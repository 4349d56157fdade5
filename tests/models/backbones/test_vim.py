import pytest
import torch

from tests.golden import Golden
from tests.models.backbones.contract import BackboneContract
from transmamba_mm.convert import build_from_official
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.patch_embed import insert_tokens, resize_positions
from transmamba_mm.models.backbones.vim import Vim

CASES = {
    'vim_midcls_div2': {},
    'vim_headcls_nodiv': {'cls_position': 'first', 'if_devide_out': False},
    'vim_nocls_mean_ln_unfused': {},
    'vim_bimamba_v1': {'if_divide_out': False},
}
ARCH = {'embed_dims': 32, 'num_layers': 2, 'state_dims': 8}


class TestVim(BackboneContract):
    config = {'type': 'Vim', 'arch': ARCH, 'img_size': 32, 'patch_size': 8}

    @pytest.mark.parametrize(
        'position, tokens', [('middle', 17), ('first', 17), ('both', 18), ('none', 16)]
    )
    def test_cls_positions(self, position, tokens):
        model = self.build(cls_position=position, out_type='raw')
        out = model(self.images())[0]
        assert out.shape == (2, tokens, 32)
        patches, cls = model.to_canonical(out, (4, 4))
        assert patches.shape == (2, 16, 32)
        assert (cls is None) == (position == 'none')

    def test_cls_token_of_nothing_is_a_user_error(self):
        with pytest.raises(UserError, match='cls token'):
            self.build(cls_position='none', out_type='cls_token')

    def test_overlapping_patches(self):
        model = self.build(patch_stride=4, out_type='featmap')
        assert model(self.images())[0].shape == (2, 32, 7, 7)

    def test_drop_path_acts_in_training_only(self):
        model = self.build(drop_path_rate=0.5)
        images = self.images(batch=32)
        assert torch.equal(model(images)[0], model(images)[0])
        model.train()
        assert not torch.equal(model(images)[0], model(images)[0])

    def test_autocast_keeps_the_stream_close_to_float32(self):
        model = self.build()
        with torch.autocast('cpu', dtype=torch.bfloat16):
            low = model(self.images())[0]
        torch.testing.assert_close(low.float(), model(self.images())[0], atol=0.1, rtol=0.1)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32], ids=['fp64', 'fp32'])
@pytest.mark.parametrize('name', CASES)
class TestOfficialNumbers:
    """The golden files: every intermediate they hold, in both precisions."""

    @pytest.fixture
    def golden(self, name):
        return Golden(name)

    @pytest.fixture
    def model(self, golden, name, dtype):
        img_size = golden.meta['config']['img_size']
        return build_from_official('vim', golden.state_dict, img_size, **CASES[name]).to(dtype)

    def test_logits_and_features(self, golden, model, dtype):
        images = golden.input('x', dtype)
        golden.check('logits', model(images))
        golden.check('features', model.backbone(images)[-1])
        model.backbone.out_type = 'raw'
        golden.check('final_norm', model.backbone(images)[-1])

    def test_every_layer(self, golden, model, dtype):
        seen = {}
        for i, block in enumerate(model.backbone.blocks):
            block.register_forward_hook(
                lambda _m, inputs, _o, i=i: seen.update({f'layer{i}.residual': inputs[0]})
            )
            block.mixer.register_forward_hook(
                lambda _m, inputs, out, i=i: seen.update(
                    {f'layer{i}.hidden': out, f'layer{i}.mixer_in': inputs[0]}
                )
            )
        with torch.no_grad():
            model(golden.input('x', dtype))
        seen['tokens_in'] = seen['layer0.residual']
        recorded = {n for n in golden.outputs() if '.scan_' not in n} - {
            'logits',
            'features',
            'final_norm',
        }
        assert recorded <= seen.keys()
        for key in sorted(recorded):
            golden.check(key, seen[key])

    def test_first_mixer_inside(self, golden, model, dtype):
        """Inputs and outputs of each direction's scan, in the official (scanned) order."""
        mixer = model.backbone.blocks[0].mixer
        x, z = mixer.in_proj(golden.output('layer0.mixer_in', dtype)).chunk(2, -1)
        with torch.no_grad():
            gated = mixer.scan(x, z, 'none')  # (B, 2, L, E)
        golden.check('layer0.scan_fwd.out_z', gated[:, 0].transpose(1, 2))
        golden.check('layer0.scan_bwd.out_z', gated[:, 1].flip(1).transpose(1, 2))


class TestPositions:
    def test_cls_entry_stays_itself_in_the_middle(self):
        positions = torch.randn(1, 17, 4)
        resized = resize_positions(positions, (4, 4), (6, 6), [8], [18])
        assert resized.shape == (1, 37, 4)
        assert torch.equal(resized[:, 18], positions[:, 8])

    def test_the_cls_entry_does_not_bleed_into_the_grid(self):
        positions = insert_tokens(torch.ones(1, 16, 2), torch.full((1, 1, 2), -99.0), [8])
        resized = resize_positions(positions, (4, 4), (7, 5), [8], [17])
        assert torch.equal(resized[0, 17], torch.full((2,), -99.0))
        patches = torch.cat([resized[:, :17], resized[:, 18:]], 1)
        torch.testing.assert_close(patches, torch.ones(1, 35, 2))

    def test_rows_and_columns_keep_their_places(self):
        """Doubling a grid and averaging each 2x2 cell comes back near the original entries."""
        torch.manual_seed(0)
        positions = torch.randn(1, 15, 3).cumsum(1)  # smooth enough to survive
        resized = resize_positions(positions, (3, 5), (6, 10), [], [])
        cells = resized.reshape(1, 3, 2, 5, 2, 3).mean((2, 4)).reshape(1, 15, 3)
        assert (cells - positions).abs().mean() < 0.2 * positions.std()

    def test_official_and_true_place_differ(self):
        """Taking entry 0 for the cls token, as the official code does, is a different answer."""
        positions = torch.randn(1, 17, 4)
        ours = resize_positions(positions, (4, 4), (6, 6), [8], [18])
        official = resize_positions(positions, (4, 4), (6, 6), [0], [0])
        assert (ours - official).abs().max() > 0.1

    def test_same_grid_is_untouched(self):
        positions = torch.randn(1, 17, 4)
        assert resize_positions(positions, (4, 4), (4, 4), [8], [8]) is positions

    @pytest.mark.parametrize('places', [[0], [3], [2, 5], [0, 7]])
    def test_insert_tokens(self, places):
        patches = torch.arange(6.0).reshape(1, 6, 1)
        extra = -torch.arange(1.0, len(places) + 1).reshape(1, -1, 1)
        out = insert_tokens(patches, extra, places)[0, :, 0].tolist()
        assert [out[p] for p in places] == extra[0, :, 0].tolist()
        assert [v for v in out if v >= 0] == list(range(6))


@pytest.mark.parametrize('arch, millions', [('tiny', 7.1), ('small', 25.8), ('base', 97.6)])
def test_released_sizes(arch, millions):
    """Parameters of the released models (with their 1000-class head), in millions."""
    with torch.device('meta'):
        model = Vim(arch)
        count = sum(p.numel() for p in model.parameters()) + 1000 * (model.embed_dims + 1)
    assert count / 1e6 == pytest.approx(millions, abs=0.3)


@pytest.mark.parametrize('position', ['middle', 'both'])
def test_one_graph_serves_many_image_sizes(position):
    arch = {'embed_dims': 16, 'num_layers': 1, 'state_dims': 4}
    model = Vim(arch, img_size=32, patch_size=8, cls_position=position).eval()
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend='eager')
    for height in range(32, 32 + 8 * 11, 8):  # more than torch's limit of eight graphs
        images = torch.randn(1, 3, height, 40)
        with torch.no_grad():
            torch.testing.assert_close(compiled(images)[0], model(images)[0])
