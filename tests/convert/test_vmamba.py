import pytest
import torch

from tests.golden import Golden
from transmamba_mm.convert import build_from_official, from_official, to_official, vmamba
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones.vmamba import ARCHS, VMamba
from transmamba_mm.registry import MODELS

NAMES = ['vmamba_v05_noz_s1', 'vmamba_v0']


@pytest.fixture(params=NAMES)
def official(request):
    return Golden(request.param).state_dict


def small(**arch) -> VMamba:
    """A backbone that differs from the golden ones in ``arch``."""
    torch.manual_seed(0)
    sizes = {'embed_dims': (16, 32), 'depths': (1, 2)}
    return VMamba({**ARCHS['tiny'], **sizes, **arch}).eval()


def released(backbone: VMamba) -> dict[str, torch.Tensor]:
    """The official state dict of ``backbone``, without a head."""
    ours = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    return to_official('vmamba', ours)


def test_round_trip(official):
    back = to_official('vmamba', from_official('vmamba', official))
    assert back.keys() == official.keys()
    assert all(torch.equal(back[key], official[key]) for key in official)


@pytest.mark.parametrize('arch', ['tiny', 'base-s2l15', 'small-v0'])
def test_released_archs_are_recognized(arch):
    with torch.device('meta'):
        official = released(VMamba(arch))
        config = vmamba.model_config(from_official('vmamba', official), 224)['backbone']
    assert config['arch'] == ARCHS[arch]
    assert config['patch_size'] == 4 and config['dt_rank'] is None


@pytest.mark.parametrize(
    'variant',
    [
        {'downsample': 'conv2'},
        {'downsample': 'merging', 'gate': True},
        {'patch_embed': 'patches', 'conv_bias': True},
        {'mlp_ratio': 0.0, 'state_dims': 4},
        {'mlp_ratio': 2.5, 'ssm_ratio': 1.5},
        {'embed_dims': (16, 24, 40), 'depths': (1, 1, 1)},
        {'embed_dims': (16,), 'depths': (3,)},
    ],
    ids=str,
)
def test_variants_are_inferred(variant):
    backbone = small(**variant)
    model = build_from_official('vmamba', released(backbone), 32)
    images = torch.randn(1, 3, 36, 44)
    assert torch.equal(model(images)[0], backbone(images)[0])


def test_sizes_beside_the_arch_are_inferred():
    arch = {**ARCHS['tiny'], 'embed_dims': (16, 32), 'depths': (1, 1)}
    backbone = VMamba(arch, patch_size=8, in_channels=1, dt_rank=3, conv_width=5).eval()
    model = build_from_official('vmamba', released(backbone), 64)
    images = torch.randn(1, 1, 64, 64)
    assert torch.equal(model(images)[0], backbone(images)[0])


def test_legacy_names():
    """The spelling of the first release, as the official loader renames it."""
    official = Golden('vmamba_v0').state_dict
    renamings = {
        'patch_embed.0.': 'patch_embed.proj.',
        'patch_embed.2.': 'patch_embed.norm.',
        '.op.': '.self_attention.',
        'classifier.norm.': 'norm.',
        'classifier.head.': 'head.',
    }
    legacy = {}
    for key, value in official.items():
        if '.blocks.' in key:
            key = key.replace('.norm.', '.ln_1.') if '.op.' not in key else key
        for new, old in renamings.items():
            key = key.replace(new, old)
        legacy[key] = value
    assert 'layers.0.blocks.1.ln_1.weight' in legacy and 'norm.weight' in legacy
    ours, same = from_official('vmamba', legacy), from_official('vmamba', official)
    assert ours.keys() == same.keys()
    assert all(torch.equal(ours[key], same[key]) for key in ours)


def test_linear_layers_stored_as_1x1_convolutions(official):
    layers = ('in_proj.weight', 'out_proj.weight', 'fc1.weight', 'fc2.weight', 'reduction.weight')
    stored = {
        key: value[..., None, None] if key.endswith(layers) else value
        for key, value in official.items()
    }
    ours, same = from_official('vmamba', stored), from_official('vmamba', official)
    assert all(torch.equal(ours[key], same[key]) for key in same)


@pytest.mark.parametrize('wrapper', ['model', 'model_ema'])
def test_training_checkpoints_are_unwrapped(official, wrapper):
    assert from_official('vmamba', {wrapper: official, 'epoch': 3}).keys() == (
        from_official('vmamba', official).keys()
    )


@pytest.mark.parametrize('name', ['v0', 'v05_noz', 'v3_noz', 'v04_no32'])
def test_official_names_of_one_scan(name):
    official = Golden('vmamba_v05_noz_s1' if 'noz' in name else 'vmamba_v0').state_dict
    model = build_from_official('vmamba', official, 64, forward_type=name)
    assert model.backbone.stages[0].blocks[0].ss2d.gate == ('noz' not in name)


@pytest.mark.parametrize('name', ['v052d_noz', 'v05_onsoftmax', 'xv1a'])
def test_other_scans_are_refused(official, name):
    with pytest.raises(UserError, match=f'{name}.*not supported'):
        build_from_official('vmamba', official, 64, forward_type=name)


def test_official_names_of_arguments():
    official = Golden('vmamba_v05_noz_s1').state_dict
    model = build_from_official(
        'vmamba',
        official,
        64,
        dims=[16, 32, 64, 128],
        ssm_d_state=1,
        ssm_dt_rank='auto',
        patchembed_version='v2',
        downsample_version='v3',
        drop_path_rate=0.2,
    )
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, 10)


def test_a_wrong_arch_is_answered_with_the_one_that_fits():
    """On the meta device: only shapes are read before the error."""
    with torch.device('meta'):
        official = released(VMamba('tiny-s2l5'))
        with pytest.raises(UserError, match=r"would fit: arch='tiny-s2l5'$") as error:
            build_from_official('vmamba', official, 224, arch='tiny')
    assert 'stages.2.blocks.7.norm1.bias: model (384,), checkpoint -' in str(error.value)
    assert 'ss2d.in_proj.weight: model (96, 96), checkpoint (192, 96)' in str(error.value)


def test_a_missing_tensor_suggests_no_arch(official):
    del official['layers.1.blocks.0.op.Ds']
    with pytest.raises(UserError, match=r'ss2d.D: model \(4, \d+\), checkpoint -') as error:
        build_from_official('vmamba', official, 64)
    assert 'would fit' not in str(error.value)


def test_unknown_keys_are_named(official):
    with pytest.raises(UserError, match=r'pos_embed'):
        from_official('vmamba', {**official, 'pos_embed': torch.zeros(1)})


def test_another_model_is_refused():
    with pytest.raises(UserError, match='not official VMamba keys'):
        build_from_official('vmamba', {'conv1.weight': torch.zeros(3)}, 32)
    with pytest.raises(UserError, match='no VMamba checkpoint'):
        build_from_official('vmamba', {'patch_embed.0.bias': torch.zeros(3)}, 32)


def test_converted_weights_load_into_a_classifier_of_that_name():
    backbone = VMamba('nano', patch_size=2, in_channels=1)
    ours = from_official('vmamba', released(backbone))
    config = {'type': 'transmamba_mm.VMamba', 'arch': 'nano', 'patch_size': 2, 'in_channels': 1}
    model = MODELS.build({'type': 'mmpretrain.ImageClassifier', 'backbone': config})
    model.load_state_dict(ours)
