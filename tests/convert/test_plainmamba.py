import pytest
import torch

from tests.golden import Golden
from transmamba_mm.convert import build_from_official, from_official, to_official
from transmamba_mm.errors import UserError


@pytest.fixture
def official():
    return Golden('plainmamba_l1like').state_dict


def test_round_trip(official):
    back = to_official('plainmamba', from_official('plainmamba', official))
    assert back.keys() == official.keys()
    assert all(torch.equal(back[key], official[key]) for key in official)


def test_the_model_has_the_official_keys_and_nothing_else(official):
    model = build_from_official('plainmamba', official, 32)
    assert to_official('plainmamba', model.state_dict()).keys() == official.keys()


def test_statistics_of_the_batch_norms_arrive(official):
    official['backbone.layers.0.dw.1.num_batches_tracked'] = torch.tensor(7)
    block = build_from_official('plainmamba', official, 32).backbone.blocks[0]
    assert block.dw.bn.num_batches_tracked == 7
    recorded = official['backbone.layers.0.dw.1.running_var']
    assert torch.equal(block.dw.bn.running_var, recorded)


def with_variant(official: dict, convs: int, dwconv: int, bias: bool) -> dict:
    """Another member of the family: convolutions in the stem, the depthwise layer, biases."""
    variant = {}
    for key, value in official.items():
        if '.patch_embed.convs.' in key:
            _, index, tensor = key.replace('backbone.patch_embed.', '').split('.')
            variant |= {
                f'backbone.patch_embed.convs.{int(index) + 3 * i}.{tensor}': value
                for i in range(convs)
            }
        elif bias or not key.endswith(('in_proj.bias', 'out_proj.bias')):
            variant[key.replace('layers.0.dw', f'layers.{dwconv}.dw')] = value
    return variant


@pytest.mark.parametrize('convs, dwconv, bias', [(0, 1, True), (2, 2, False), (3, 0, True)])
def test_variants_are_inferred(official, convs, dwconv, bias):
    variant = with_variant(official, convs, dwconv, bias)
    model = build_from_official('plainmamba', variant, 32)
    assert len(model.backbone.patch_embed.convs) == convs
    assert [block.dw is not None for block in model.backbone.blocks].index(True) == dwconv
    assert (model.backbone.blocks[0].mixer.in_proj.bias is not None) == bias
    back = to_official('plainmamba', model.state_dict())
    assert back.keys() == variant.keys()
    assert all(torch.equal(back[key], variant[key]) for key in variant)


def test_the_quirks_of_the_released_weights_are_on_and_can_be_off(official):
    mixer = build_from_official('plainmamba', official, 32).backbone.blocks[0].mixer
    assert mixer.parameters_in_raster_order and mixer.double_dt_bias
    model = build_from_official('plainmamba', official, 32, double_dt_bias=False)
    assert not model.backbone.blocks[0].mixer.double_dt_bias


def test_resizing_at_build_equals_resizing_at_run_time(official):
    images = torch.randn(1, 3, 40, 24)
    built = build_from_official('plainmamba', official, (40, 24))
    assert built.backbone.pos_embed.shape == (1, 15, 32)
    dynamic = build_from_official('plainmamba', official, 32)
    torch.testing.assert_close(built(images), dynamic(images))


def test_without_positions_nothing_is_added(official):
    del official['backbone.pos_embed']
    assert not build_from_official('plainmamba', official, 32).backbone.pos_embed.any()


@pytest.mark.parametrize('wrapper', ['model', 'state_dict'])
def test_training_checkpoints_are_unwrapped(official, wrapper):
    wrapped = {wrapper: {f'module.{key}': value for key, value in official.items()}, 'meta': {}}
    ours = from_official('plainmamba', wrapped)
    assert ours.keys() == from_official('plainmamba', official).keys()


def test_checkpoint_without_head_gives_features(official):
    body = {key: value for key, value in official.items() if not key.startswith('head.')}
    model = build_from_official('plainmamba', body, 32)
    assert model(torch.randn(1, 3, 32, 32))[-1].shape == (1, 32)


@pytest.mark.parametrize(
    'key',
    [
        'backbone.layers.0.mamba.gamma',
        'backbone.patch_embed.convs.2.weight',
        'backbone.layers.1.mamba.in_proj.scale',
    ],
)
def test_unknown_keys_are_named(official, key):
    with pytest.raises(UserError, match=key.replace('.', r'\.')):
        from_official('plainmamba', {**official, key: torch.zeros(1)})


def test_missing_weights_are_listed_with_shapes(official):
    del official['backbone.layers.1.mamba.D']
    with pytest.raises(UserError, match=r'blocks.1.mixer.D: model \(64,\), checkpoint -'):
        build_from_official('plainmamba', official, 32)


def test_another_model_is_refused():
    with pytest.raises(UserError, match='not official PlainMamba keys'):
        build_from_official('plainmamba', {'conv1.weight': torch.zeros(3)}, 32)
    with pytest.raises(UserError, match='no PlainMamba checkpoint'):
        build_from_official('plainmamba', {'backbone.pos_embed': torch.zeros(1, 4, 3)}, 32)
