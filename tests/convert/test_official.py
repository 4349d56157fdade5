import pytest
import torch

from tests.golden import Golden
from transmamba_mm.convert import build_from_official, from_official, to_official
from transmamba_mm.errors import UserError

NAMES = ['vim_midcls_div2', 'vim_headcls_nodiv', 'vim_nocls_mean_ln_unfused', 'vim_bimamba_v1']


@pytest.fixture
def official():
    return Golden('vim_midcls_div2').state_dict


@pytest.mark.parametrize('name', NAMES)
def test_vim_round_trip(name):
    official = Golden(name).state_dict
    back = to_official('vim', from_official('vim', official))
    assert back.keys() == official.keys()
    assert all(torch.equal(back[key], official[key]) for key in official)


def test_double_cls_round_trip(official):
    cls = official.pop('cls_token')
    official |= {'cls_token_head': cls, 'cls_token_tail': cls + 1}
    back = to_official('vim', from_official('vim', official))
    assert back.keys() == official.keys()
    assert torch.equal(back['cls_token_tail'], cls + 1)


def test_double_cls_is_inferred_and_averaged(official):
    cls = official.pop('cls_token')
    positions = official['pos_embed']
    official |= {'cls_token_head': cls, 'cls_token_tail': cls + 1}
    official['pos_embed'] = torch.cat([positions, positions[:, :1]], 1)
    model = build_from_official('vim', official, 32)
    assert model.backbone.cls_position == 'both'
    images = torch.randn(1, 3, 32, 32)
    features = model.backbone(images)[0]
    model.backbone.out_type = 'raw'
    raw = model.backbone(images)[0]
    torch.testing.assert_close(features, (raw[:, 0] + raw[:, 17]) / 2)


@pytest.mark.parametrize('wrapper', ['model', 'model_ema', 'state_dict'])
def test_training_checkpoints_are_unwrapped(official, wrapper):
    wrapped = {wrapper: {f'module.{k}': v for k, v in official.items()}, 'epoch': 3}
    assert from_official('vim', wrapped).keys() == from_official('vim', official).keys()


def test_the_averaged_weights_can_be_asked_for(official):
    average = {key: value + 1 for key, value in official.items()}
    checkpoint = {'model': official, 'model_ema': average}
    ours = from_official('vim', checkpoint, weights='model_ema')
    assert torch.equal(ours['head.fc.bias'], average['head.bias'])


@pytest.mark.parametrize('spelling', ['if_divide_out', 'if_devide_out', 'average_directions'])
def test_every_spelling_of_averaging(official, spelling):
    model = build_from_official('vim', official, 32, **{spelling: False})
    assert model.backbone.blocks[0].mixer.merge == 'sum'


def test_positions_are_resized_to_another_image(official):
    model = build_from_official('vim', official, (48, 64))
    assert model.backbone.pos_embed.shape == (1, 6 * 8 + 1, 32)
    assert torch.equal(model.backbone.pos_embed[0, 24], official['pos_embed'][0, 8])
    assert model(torch.randn(1, 3, 48, 64)).shape == (1, 10)


def test_resizing_at_build_equals_resizing_at_run_time(official):
    images = torch.randn(1, 3, 64, 64)
    built = build_from_official('vim', official, 64)(images)
    dynamic = build_from_official('vim', official, 32)(images)
    torch.testing.assert_close(built, dynamic)


def test_a_checkpoint_in_double_precision_stays_so(official):
    official = {key: value.double() + 1e-12 for key, value in official.items()}
    model = build_from_official('vim', official, 64)
    assert model.head.fc.bias.dtype == torch.float64
    assert torch.equal(model.head.fc.bias, official['head.bias'])


def test_smaller_stride_is_an_override(official):
    model = build_from_official('vim', official, 32, stride=4)
    assert model.backbone.patch_grid((32, 32)) == (7, 7)


def test_checkpoint_without_head_gives_features(official):
    body = {key: value for key, value in official.items() if not key.startswith('head.')}
    assert build_from_official('vim', body, 32)(torch.randn(1, 3, 32, 32))[-1].shape == (1, 32)


def test_unknown_keys_are_named(official):
    with pytest.raises(UserError, match=r'rope\.freqs_cos'):
        from_official('vim', {**official, 'rope.freqs_cos': torch.zeros(1)})


def test_missing_weights_are_listed_with_shapes(official):
    del official['layers.1.mixer.D_b']
    with pytest.raises(UserError, match=r'blocks.1.mixer.bwd.D: model \(64,\), checkpoint -'):
        build_from_official('vim', official, 32)


def test_another_model_is_refused():
    with pytest.raises(UserError, match='not official Vim keys'):
        build_from_official('vim', {'conv1.weight': torch.zeros(3)}, 32)
    with pytest.raises(UserError, match='no Vim checkpoint'):
        build_from_official('vim', {'pos_embed': torch.zeros(1, 4, 3)}, 32)


def test_unknown_family_is_refused():
    with pytest.raises(UserError, match='choose one of vim'):
        from_official('vam', {})


FAMILIES = {
    **dict.fromkeys(NAMES, 'vim'),
    **{'vmamba_v0': 'vmamba', 'vmamba_v05_noz_s1': 'vmamba'},
    **{'plainmamba_l1like': 'plainmamba', 'videomamba_t4': 'videomamba'},
}


@pytest.mark.parametrize('name', FAMILIES)
def test_keys_that_lack_a_prefix_or_have_one_too_many(name):
    """The state dict of a backbone, of a transfer, of a model in another."""
    family, official = FAMILIES[name], Golden(name).state_dict
    whole = from_official(family, official)
    inner = {k.removeprefix('backbone.'): v for k, v in whole.items() if k.startswith('backbone.')}
    with pytest.raises(UserError, match=r"put 'backbone\.' before each key"):
        to_official(family, inner)
    transfer = {f'student.{k}': v for k, v in whole.items()} | {'distiller.a': torch.ones(1)}
    with pytest.raises(UserError, match=r"Remove 'student\.' from the keys"):
        to_official(family, transfer)
    with pytest.raises(UserError, match=r"Remove 'net\.' from the keys"):
        from_official(family, {f'net.{key}': value for key, value in official.items()})
    with pytest.raises(UserError) as error:
        to_official(family, {**whole, 'any.weight': torch.ones(1)})
    assert 'Remove' not in str(error.value) and 'before each' not in str(error.value)
