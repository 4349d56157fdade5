"""Class activation maps: every patch is where it lies in the image, and so is its gradient."""

from functools import partial

import pytest
import torch
from mmengine.utils.dl_utils import is_norm

from tests.models.backbones.test_load_positions import MODELS_OF
from tests.transfer.small_models import plainmamba_config, vmamba_config
from transmamba_mm.errors import UserError
from transmamba_mm.registry import MODELS

SIDE, PATCH = 32, 8
SIZES = {'img_size': SIDE, 'patch': PATCH}
# A random convolution behind a block, without a residual, would move what is planted.
ARCH = plainmamba_config()['backbone']['arch'] | {'dwconv_layers': ()}
STUDENTS = {
    **{name: partial(config, **SIZES) for name, config in MODELS_OF.items()},
    'plainmamba': partial(plainmamba_config, arch=ARCH, **SIZES),
    'vmamba': partial(vmamba_config, patch=PATCH // 2),
}


@pytest.fixture(params=STUDENTS)
def model(request):
    torch.manual_seed(0)
    model = MODELS.build(STUDENTS[request.param]())
    model.init_weights()
    return model.double().eval()


def default_target(model):
    """The layer that mmpretrain's vis_cam takes without --target-layers and --vit-like."""
    return [m for m in model.backbone.modules() if is_norm(m)][-1]


def record(layer, model, images):
    seen = []
    with layer.register_forward_hook(lambda _m, _i, out: seen.append(out)):
        logits = model(images)
    (features,) = seen
    return features, logits


def test_a_planted_patch_lights_up_where_it_is(model):
    images = torch.randn(1, 1, SIDE, SIDE, dtype=torch.double)
    layer = default_target(model)
    before, _ = record(layer, model, images)
    assert before.dim() == 4  # vis_cam reads (B, D, H, W) as it is
    right = 0
    for row in range(SIDE // PATCH):
        for col in range(SIDE // PATCH):
            planted = images.repeat(8, 1, 1, 1)
            place = (
                ...,
                slice(row * PATCH, (row + 1) * PATCH),
                slice(col * PATCH, (col + 1) * PATCH),
            )
            planted[place] += 5.0 * torch.randn(8, 1, PATCH, PATCH)
            after, _ = record(layer, model, planted)
            heat = (after - before).square().sum((0, 1))  # (H, W)
            cells = SIDE // PATCH // len(heat)  # a side, of what one place of the map stands for
            right += heat.argmax() == row // cells * len(heat) + col // cells
    assert right == (SIDE // PATCH) ** 2


def test_gradients_are_those_of_the_place(model):
    """A change at a place of the map, by a hook, changes the score by the gradient there."""
    images = torch.randn(1, 1, SIDE, SIDE, dtype=torch.double)
    layer = default_target(model)
    features, logits = record(layer, model, images)
    (gradient,) = torch.autograd.grad(logits[0, 3], features)
    assert (gradient.abs().sum(1) > 0).all()  # every patch reaches what is read
    torch.testing.assert_close(logits, model(images))
    for _ in range(5):
        change = 1e-6 * torch.randn_like(features)
        with layer.register_forward_hook(lambda _m, _i, out, change=change: out + change):
            changed = model(images)[0, 3]
        expected = (gradient * change).sum()
        torch.testing.assert_close(changed - logits[0, 3], expected, rtol=1e-3, atol=1e-12)


def test_it_costs_nothing_unless_it_is_hooked(model):
    layer, calls = default_target(model), []
    layer.forward = lambda patches: calls.append(1) or patches
    model(torch.randn(1, 1, SIDE, SIDE, dtype=torch.double))
    assert not calls and not list(layer.parameters())


@pytest.mark.parametrize('layer', [0, 1, 2])
def test_the_map_belongs_to_the_last_layer_that_is_read(layer):
    torch.manual_seed(0)
    config = STUDENTS['vim-none']()
    config['backbone']['out_indices'] = layer
    model = MODELS.build(config).double().eval()
    images = torch.randn(1, 1, SIDE, SIDE, dtype=torch.double)
    features, logits = record(model.backbone.cam, model, images)
    (gradient,) = torch.autograd.grad(logits[0, 3], features)
    assert gradient.any()


def test_a_clip_has_a_map_of_each_frame():
    model = MODELS.build(STUDENTS['videomamba']())
    features, _ = record(model.backbone.cam, model, torch.randn(2, 1, 4, SIDE, SIDE))
    assert features.shape == (2, 16, 4, 4, 4)


def test_cutting_off_the_first_tokens_is_refused_where_cls_is_elsewhere():
    for position in ('middle', 'both'):
        backbone = MODELS.build(MODELS_OF[f'vim-{position}']()).backbone
        with pytest.raises(UserError, match=rf'{position}.*backbone\.cam'):
            getattr(backbone, 'num_extra_tokens', 1)
    for name, extra in {'vim-first': 1, 'vim-none': 0, 'videomamba': 1, 'plainmamba': 0}.items():
        assert MODELS.build(MODELS_OF[name]()).backbone.num_extra_tokens == extra
