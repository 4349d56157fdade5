"""torch.jit.trace and mmengine's FLOP counter take every student."""

import pytest
import torch
from mmengine.analysis import FlopAnalyzer, get_model_complexity_info

from tests.models.backbones.graphs import STUDENTS, images, student
from transmamba_mm.ops.flops import conv_macs, scan_flops
from transmamba_mm.registry import MODELS

pytestmark = pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')


@pytest.mark.parametrize('name', STUDENTS)
def test_a_saved_trace_gives_the_same_features(name, tmp_path):
    model, (example, other) = student(name), images(name, batch=4).split(2)
    torch.jit.trace(model, example).save(tmp_path / 'traced.pt')
    traced = torch.jit.load(tmp_path / 'traced.pt')
    for found, expected in zip(traced(other), model(other), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('name', ['vim-middle', 'vim-shared', 'vmamba', 'plainmamba'])
def test_flops_are_those_of_the_closed_form(name):
    """Per block: one scan, and where the mixer is one-dimensional the convolutions before it."""
    model, example = student(name), images(name, batch=1)
    counts = FlopAnalyzer(model, (example,)).by_operator()
    scans = convs = 0
    mixers = [module for module in model.modules() if hasattr(module, 'scan')]
    for mixer, grid in zip(mixers, model.layer_grids((32, 32)), strict=True):
        K, length = len(model.directions(grid)), grid[0] * grid[1]
        if name.startswith('vim'):
            length += 1
            E, N = mixer.fwd.A_log.shape
            owners = 1 if mixer.shared_projections else 2
            convs += conv_macs((1, length, E), (owners, E, mixer.fwd.conv.kernel_size[0]))
        else:
            E, N = mixer.A_log.shape[-2:]
        scans += scan_flops((1, length, E), (), (K, E, N), (), (), (K, E))
    (scan,) = [count for operator, count in counts.items() if operator.startswith('scan_')]
    assert scan == scans
    if convs:
        # Without a compiler they are plain convolutions, which mmengine counts alike.
        patches = conv_macs((1, 64, model.embed_dims), (1, model.embed_dims, 3 * 4 * 4))
        assert counts['conv'] + counts.get('conv_cpp', 0) == convs + patches


def test_a_classifier_is_counted():
    backbone = {'type': 'transmamba_mm.Vim', 'arch': 'nano', 'img_size': 32, 'patch_size': 4}
    head = {'type': 'LinearClsHead', 'num_classes': 5, 'in_channels': 64}
    model = MODELS.build({'type': 'mmpretrain.ImageClassifier', 'backbone': backbone, 'head': head})
    of_classifier, of_backbone = (
        get_model_complexity_info(m, (3, 32, 32), show_table=False, show_arch=False)['flops']
        for m in (model, model.backbone)
    )
    assert of_classifier == of_backbone + 5 * 64
    traced = torch.jit.trace(model, example := torch.randn(1, 3, 32, 32))
    torch.testing.assert_close(traced(example), model(example))
