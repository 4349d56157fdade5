"""Keys and queries of attention, B and C of scans, in canonical order."""

import pytest
import torch
import torch.nn.functional as F

from tests.models.layouts.test_feature_sources import IMAGES, features, own_clip_vision
from tests.transfer.small_models import trained, videomamba_config, vim_config, vit_config
from tests.transfer.test_features import hooked
from transmamba_mm.models.layouts import layout_of

KIND = 'keys_queries'


def inputs_of(backbone, path):
    """Input of the module at ``path``."""
    kept = []
    module = backbone.get_submodule(path)
    handle = module.register_forward_pre_hook(lambda _, args: kept.append(args[0]))
    with torch.no_grad():
        backbone(IMAGES)
    handle.remove()
    return kept[0]


def by_hand(mixer, tokens):
    """B and C (B, L, 2N) of both directions of a scan over tokens (B, L, D)."""
    found = []
    for direction, flip in ((mixer.fwd, False), (mixer.bwd, True)):
        x = F.linear(tokens, mixer.in_proj.weight).chunk(2, -1)[0].transpose(1, 2)
        x = x.flip(-1) if flip else x
        weight = direction.conv.weight
        u = F.conv1d(
            F.pad(x, (weight.shape[-1] - 1, 0)), weight, direction.conv.bias, groups=len(x[0])
        )
        selected = direction.x_proj(F.silu(u).transpose(1, 2))[..., mixer.dt_rank :]
        found.append(selected.flip(1) if flip else selected)
    return torch.stack(found, dim=1)


@pytest.mark.parametrize(
    ('config', 'cls'),
    [
        (vim_config(backbone={'cls_position': 'middle'}), 8),
        (vim_config(backbone={'cls_position': 'none'}), None),
        (videomamba_config(), 0),
    ],
    ids=['middle', 'none', 'video'],
)
def test_of_a_scan(config, cls):
    backbone = trained(config).eval().backbone
    found = features(KIND, backbone, lambda: backbone(IMAGES), [(4, 4)] * 3)
    for layer, (patches, no_cls) in enumerate(found):
        mixer = backbone.blocks[layer].mixer
        with torch.no_grad():
            expected = by_hand(mixer, inputs_of(backbone, f'blocks.{layer}.mixer'))
        kept = [i for i in range(expected.shape[2]) if i != cls]
        torch.testing.assert_close(patches, expected[:, :, kept])
        assert patches.shape == (2, 2, 16, 2 * layout_of(backbone).key_dims()[layer])
        assert no_cls is None


def test_of_a_vit():
    backbone = trained(vit_config()).eval().backbone
    found = features(KIND, backbone, lambda: backbone(IMAGES), [(4, 4)] * 2)
    for layer, (patches, cls) in enumerate(found):
        attention = backbone.layers[layer].attn
        weight, bias = attention.qkv.weight, attention.qkv.bias
        tokens = inputs_of(backbone, f'layers.{layer}.attn')
        query = F.linear(tokens, weight[:24], bias[:24])
        key = F.linear(tokens, weight[24:48], bias[24:48])
        expected = torch.cat([key, query], dim=-1)
        torch.testing.assert_close(patches, expected[:, 1:])
        torch.testing.assert_close(cls, expected[:, 0])
    assert layout_of(backbone).key_dims() == [24, 24]


def test_of_a_clip():
    backbone, run, grids = own_clip_vision()
    layout = layout_of(backbone)
    found = features(KIND, backbone, run, grids)
    for (patches, cls), path in zip(found, layout.mixer_paths(), strict=True):
        outputs = [
            hooked(backbone.get_submodule(f'{path}.{name}'), run)[1]
            for name in ('k_proj', 'q_proj')
        ]
        expected = torch.cat(outputs, dim=-1)
        torch.testing.assert_close(patches, expected[:, 1:])
        torch.testing.assert_close(cls, expected[:, 0])
