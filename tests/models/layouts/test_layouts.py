import pytest
import torch
from mmpretrain.models import (
    DistilledVisionTransformer,
    ResNet,
    SwinTransformer,
    SwinTransformerV2,
    VisionTransformer,
)

from transmamba_mm.errors import UserError
from transmamba_mm.models import Vim
from transmamba_mm.models.layouts import count_stages, layout_of

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
    layout = layout_of(backbone)
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


SWIN = {'embed_dims': 12, 'depths': [2, 1, 1], 'num_heads': [2, 2, 2]}
SWINS = {
    SwinTransformer: {'arch': SWIN, 'window_size': 2},
    SwinTransformerV2: {'arch': {**SWIN, 'extra_norm_every_n_blocks': 0}, 'window_size': [2, 2, 2]},
}


@pytest.mark.parametrize('size', [(16, 24), (18, 21)], ids=['divided', 'padded'])
@pytest.mark.parametrize('cls', SWINS)
def test_layers_of_a_swin_are_its_blocks(cls, size):
    backbone = cls(**SWINS[cls], in_channels=1, pad_small_map=True, out_indices=(2,))
    backbone.eval()  # mmpretrain's returns nothing
    layout = layout_of(backbone)
    paths, recorded = layout.layer_paths(), {}
    assert paths == [f'stages.{i}.blocks.{j}' for i, j in ((0, 0), (0, 1), (1, 0), (2, 0))]
    for path in paths:
        backbone.get_submodule(path).register_forward_hook(
            lambda _m, _i, out, path=path: recorded.update({path: out})
        )
    with torch.no_grad():
        backbone(torch.randn(2, 1, *size))
    grids = layout.layer_grids(size)
    assert grids[0] == (-(-size[0] // 4), -(-size[1] // 4))
    assert layout.layer_dims() == [12, 12, 24, 48]
    for path, grid, width in zip(paths, grids, layout.layer_dims(), strict=True):
        patches, cls_token = layout.to_canonical(recorded[path], grid)
        assert patches.shape == (2, grid[0] * grid[1], width) and cls_token is None
    assert layout.direction_paths() == []


def test_canonical_patches_of_a_swin_are_the_feature_map_in_raster_order():
    backbone = SwinTransformer(**SWINS[SwinTransformer], in_channels=1, out_indices=(0,))
    backbone.norm0, recorded = torch.nn.Identity(), []
    backbone.stages[0].blocks[-1].register_forward_hook(lambda *hook: recorded.append(hook[2]))
    backbone.eval()
    (feature_map,) = backbone(torch.randn(2, 1, 32, 48))
    patches, _ = layout_of(backbone).to_canonical(recorded[0], (8, 12))
    torch.testing.assert_close(patches, feature_map.flatten(2).transpose(1, 2))


def test_image_that_patches_do_not_cover():
    with pytest.raises(UserError, match=r'8x10 pixels into patches of 4.* side of 8 or 12'):
        layout_of(build()).layer_grids((8, 10))


def test_a_token_backbone_is_its_own_layout():
    vim = Vim('nano', img_size=8, patch_size=2, in_channels=1)
    assert layout_of(vim) is vim


def test_unknown_backbone_names_what_is_missing():
    with pytest.raises(UserError, match=r'ResNet cannot take part .*VisionTransformerLayout'):
        layout_of(ResNet(18))


def test_stages_are_counted_from_paths():
    paths = ['stages.0.blocks.0', 'stages.0.blocks.1', 'stages.1.blocks.0', 'stages.10.blocks.0']
    assert count_stages(paths) == [2, 1, 1]
    assert count_stages([f'blocks.{i}' for i in range(5)]) == [5]
    assert count_stages([]) == []
