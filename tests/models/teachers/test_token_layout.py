import pytest
import torch
from mmpretrain.models import DistilledVisionTransformer, ResNet, VisionTransformer

from transmamba_mm.errors import UserError
from transmamba_mm.models import Vim
from transmamba_mm.models.teachers import token_layout

ARCH = {'embed_dims': 12, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 24}


def build(cls=VisionTransformer, **kwargs):
    kwargs = {'out_type': 'featmap', 'final_norm': False, **kwargs}
    return cls(arch=ARCH, img_size=8, patch_size=4, in_channels=1, **kwargs)


@pytest.mark.parametrize(
    ('backbone', 'has_cls'),
    [
        (build(), True),
        (build(with_cls_token=False), False),
        (build(DistilledVisionTransformer), True),
    ],
    ids=['cls', 'no-cls', 'distilled'],
)
def test_canonical_patches_are_the_feature_map_in_raster_order(backbone, has_cls):
    backbone.eval()
    layout = token_layout(backbone)
    recorded = []
    paths = layout.layer_paths()
    backbone.get_submodule(paths[-1]).register_forward_hook(lambda *hook: recorded.append(hook[2]))
    (feature_map,) = backbone(torch.randn(2, 1, 8, 12))

    grid = layout.layer_grids((8, 12))[-1]
    assert grid == (2, 3) == tuple(feature_map.shape[-2:])
    patches, cls = layout.to_canonical(recorded[0], grid)
    torch.testing.assert_close(patches, feature_map.flatten(2).transpose(1, 2))
    if has_cls:
        torch.testing.assert_close(cls, recorded[0][:, 0])
    else:
        assert cls is None
    assert len(paths) == len(layout.layer_dims()) == 2
    assert layout.layer_dims() == [12, 12]
    assert layout.direction_paths() == []


def test_image_that_patches_do_not_cover():
    with pytest.raises(UserError, match=r'8x10 pixels into patches of 4.* side of 8 or 12'):
        token_layout(build()).layer_grids((8, 10))


def test_a_token_backbone_speaks_for_itself():
    vim = Vim('nano', img_size=8, patch_size=2, in_channels=1)
    assert token_layout(vim) is vim


def test_unknown_backbone_names_what_is_missing():
    with pytest.raises(UserError, match=r'ResNet cannot take part .* layer_paths, layer_dims'):
        token_layout(ResNet(18))
