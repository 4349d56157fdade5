"""A swapped Transformer: the Transformer where nothing is swapped, and the contract of students."""

import pytest
import torch

from tests.models.backbones.contract import BackboneContract
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones import AttentionSwap
from transmamba_mm.registry import MODELS

ARCH = {'embed_dims': 32, 'num_layers': 3, 'num_heads': 4, 'feedforward_channels': 64}
VIT = {'type': 'mmpretrain.VisionTransformer', 'arch': ARCH, 'img_size': 32, 'patch_size': 8}
SWIN_ARCH = {'embed_dims': 16, 'depths': [2, 2], 'num_heads': [2, 2]}
SWIN = {
    'type': 'mmpretrain.SwinTransformer',
    'arch': SWIN_ARCH,
    'img_size': 32,
    'patch_size': 2,
    'window_size': 4,
    'out_indices': (1,),
}
CLIP_SIZES = {'hidden_size': 32, 'num_hidden_layers': 2, 'num_attention_heads': 2}
CLIP = {
    'type': 'transmamba_mm.ClipVision',
    'config': {**CLIP_SIZES, 'intermediate_size': 64, 'image_size': 32, 'patch_size': 8},
}
FAMILIES = {'vit': VIT, 'swin': SWIN, 'clip': CLIP}
OWN = ('layers', 'mixer', 'start', 'clips')


def swap(transformer=VIT, **options) -> AttentionSwap:
    torch.manual_seed(0)
    model = MODELS.build({'type': 'AttentionSwap', 'transformer': transformer, **options})
    model.init_weights()
    return model.eval()


class TestAttentionSwap(BackboneContract):
    config = {'type': 'AttentionSwap', 'transformer': VIT}

    def build(self, with_cp=False, **overrides):
        own = {key: overrides.pop(key) for key in OWN if key in overrides}
        model = swap({**VIT, **overrides}, **own)
        model.set_grad_checkpointing(with_cp)
        return model

    def test_unknown_arch_and_out_type_are_user_errors(self):
        for wrong in ({'start': 'nonsense'}, {'clips': 'nonsense'}):
            with pytest.raises(UserError, match='one of'):
                self.build(**wrong)

    def test_out_index_out_of_range_is_a_user_error(self):
        for layers in ([3], [-4], 'all'):
            with pytest.raises(UserError, match='layers='):
                self.build(layers=layers)

    def test_image_that_patches_do_not_cover_is_a_user_error(self):
        with pytest.raises(UserError, match='33x32'):
            self.build()(self.images((33, 32)))

    def test_direction_features_sum_to_the_mixer_output(self):
        model, seen = self.build().double(), {}
        torch.nn.init.normal_(model.swaps()[0].mixer.out_proj.bias)
        images = self.images().double()
        path = model.mixer_paths()[0]
        model.get_submodule(path).register_forward_hook(lambda _m, _i, out: seen.update(mixer=out))
        plain = model(images)[-1]
        tap = model.get_submodule(model.direction_paths()[0])
        handle = tap.register_forward_hook(lambda _m, _i, out: seen.update(tap=out))
        torch.testing.assert_close(plain, model(images)[-1])
        handle.remove()
        assert seen['tap'].shape == (2, 2, 17, 32)
        torch.testing.assert_close(seen['tap'].sum(1), seen['mixer'])

    def test_frozen_stages_are_neither_trained_nor_in_training_mode(self):
        model = self.build(frozen_stages=2)
        trained = {n.split('.')[2] for n, p in model.named_parameters() if p.requires_grad}
        assert trained == {'2', 'weight', 'bias'}  # the last layer and the last norm

    def test_norm_eval_keeps_batch_norms_in_evaluation(self):
        pytest.skip('a Transformer has no batch norms')

    def test_checkpointing_keeps_less_and_changes_no_gradient(self):
        plain, much = self.gradients(self.build(drop_path_rate=0.3))
        recomputed, little = self.gradients(self.build(drop_path_rate=0.3, with_cp=True))
        torch.testing.assert_close(recomputed, plain)
        assert little < 0.8 * much  # only mixers are computed again, MLPs are not


@pytest.mark.parametrize('family', FAMILIES)
def test_with_no_layer_swapped_it_is_the_transformer(family):
    torch.manual_seed(1)
    transformer = MODELS.build(FAMILIES[family])
    transformer.init_weights()
    model = AttentionSwap(transformer, layers=[])
    model.eval()
    images = torch.randn(2, 3, 32, 32)
    for ours, theirs in zip(model(images), transformer(images), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize('family', FAMILIES)
def test_every_family_runs_and_learns(family):
    model = swap(FAMILIES[family]).train()
    outputs = model(torch.randn(2, 3, 32, 32))
    outputs[-1].square().sum().backward()
    for mixer in model.swaps():
        assert all(weight.grad is not None for weight in mixer.parameters())
    assert not any('qkv' in name or 'q_proj' in name for name, _ in model.named_parameters())


def test_mixers_start_as_sums_of_values():
    """No convolution, no gate: of a scan with B = C = 0 come the values if D = 1, none if D = 0."""
    mixer = swap().swaps()[0].mixer.double()
    hidden = torch.randn(2, 7, 32, dtype=torch.float64)
    for direction in (mixer.fwd, mixer.bwd):
        torch.nn.init.zeros_(direction.x_proj.weight)  # B = C = 0
    torch.nn.init.normal_(mixer.in_proj.bias[:32].data)
    values = hidden @ mixer.in_proj.weight[:32].T + mixer.in_proj.bias[:32]
    torch.testing.assert_close(mixer(hidden), mixer.out_proj(torch.zeros_like(values)))
    for direction in (mixer.fwd, mixer.bwd):
        torch.nn.init.ones_(direction.D)
    torch.testing.assert_close(mixer(hidden), mixer.out_proj(values))


def test_a_hybrid_keeps_attention_and_has_no_directions():
    model = swap(layers=[0, -1])
    assert model.swapped == [0, 2]
    assert model.transformer.layers[1].attn.qkv.out_features == 96
    assert model.num_directions == 0
    with pytest.raises(UserError, match='direction features'):
        model.direction_features()


def test_values_need_biases_and_no_activation():
    for mixer in ({'bias': False}, {'conv_activation': 'silu'}):
        with pytest.raises(UserError, match="start='values'"):
            swap(mixer=mixer)
        swap(mixer=mixer, start='mamba')


def test_stochastic_depth_of_attention_stays():
    torch.manual_seed(3)
    model = swap({**VIT, 'drop_path_rate': 0.9}).train()
    mixer = model.swaps()[-1]
    outputs = mixer(torch.randn(64, 4, 32))
    dropped = (outputs == 0).flatten(1).all(1).sum()
    assert 40 < dropped < 64


class TestClips:
    clips = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(2))

    def test_frames_are_not_one_sequence(self):
        with pytest.raises(UserError, match="clips='sequence'"):
            swap()(self.clips)

    @pytest.mark.parametrize(
        'out_type, shape', [('cls_token', (2, 32)), ('featmap', (2, 32, 4, 4, 4))]
    )
    def test_out_types(self, out_type, shape):
        model = swap({**VIT, 'out_type': out_type}, clips='sequence')
        assert model(self.clips)[0].shape == shape
        assert model.layer_grids((4, 32, 32)) == [(4, 4, 4)] * 3

    def test_a_frame_depends_on_the_others_only_as_a_sequence(self):
        model = swap({**VIT, 'out_type': 'featmap'}, clips='sequence')
        other = self.clips.clone()
        other[:, :, 3] += 1
        assert not torch.equal(model(self.clips)[0][:, :, 0], model(other)[0][:, :, 0])
        kept = swap({**VIT, 'out_type': 'featmap'}, layers=[], clips='sequence')
        torch.testing.assert_close(kept(self.clips)[0][:, :, 0], kept(other)[0][:, :, 0])

    def test_an_image_is_a_clip_of_one_frame(self):
        model = swap(clips='sequence')
        image = self.clips[:, :, 0]
        torch.testing.assert_close(model(image)[0], model(self.clips[:, :, :1])[0])

    def test_canonical_order_of_layers_and_directions(self):
        """Tokens of frame f and patch l have the number 100 f + l; a cls token is -1."""
        model = swap(clips='sequence')
        patches = (100 * torch.arange(4)[:, None] + torch.arange(16)).float()
        frames = torch.cat([torch.full((4, 1), -1.0), patches], dim=1)[..., None]  # (T, tokens, 1)
        for tokens in (frames, frames.flatten(0, 1)[None]):
            found, cls = model.to_canonical(tokens, (4, 4, 4))
            assert torch.equal(found[0, :, 0], patches.flatten())
            assert cls.tolist() == [[-1.0]]
