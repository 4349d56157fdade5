import pytest
import torch
from torch import nn

from tests.transfer.small_models import trained, vim_config
from transmamba_mm.errors import UserError
from transmamba_mm.transfer import FeatureRecorder


class Twice(nn.Module):
    """Runs one module two times, and fails on request."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Linear(2, 2)
        self.unused = nn.Linear(2, 2)

    def forward(self, x, fail=False):
        x = self.shared(self.shared(x))
        if fail:
            raise RuntimeError('no')
        return x


def num_hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


def test_records_what_modules_return():
    model = trained(vim_config())
    images = torch.randn(2, 1, 8, 8)
    recorder = FeatureRecorder(model, ['backbone.patch_embed', 'head'])
    with recorder:
        logits = model(images)
    assert set(recorder) == {'backbone.patch_embed', 'head'}
    assert len(recorder) == 2
    assert recorder['head'] is logits
    assert torch.equal(recorder['backbone.patch_embed'], model.backbone.patch_embed(images))


def test_directions_are_kept_apart_only_while_recorded():
    model = trained(vim_config()).backbone.eval()
    images = torch.randn(2, 1, 8, 8)
    path, block = model.direction_paths()[1], model.blocks[1]
    with FeatureRecorder(model, [path, 'blocks.0', 'blocks.1']) as recorder:
        assert block.tap.watched
        model(images)
    assert not block.tap.watched
    assert recorder['blocks.1'].shape == (2, 17, 16)
    mixed = recorder['blocks.1'] - recorder['blocks.0']
    torch.testing.assert_close(recorder[path].sum(1), mixed, atol=1e-5, rtol=1e-4)


def test_keeps_the_last_of_several_runs():
    model = Twice()
    recorder = FeatureRecorder(model, ['shared'])
    with recorder:
        out = model(torch.randn(3, 2))
    assert recorder['shared'] is out


def test_nothing_is_hooked_or_recorded_outside():
    model = Twice()
    recorder = FeatureRecorder(model, ['shared'])
    assert num_hooks(model) == 0
    model(torch.randn(3, 2))
    assert len(recorder) == 0
    with recorder:
        out = model(torch.randn(3, 2))
    assert num_hooks(model) == 0
    model(torch.randn(3, 2))
    assert recorder['shared'] is out
    with recorder:
        assert len(recorder) == 0


def test_an_error_inside_removes_hooks_and_the_half_record():
    model = Twice()
    recorder = FeatureRecorder(model, ['shared', 'unused'])
    with pytest.raises(RuntimeError, match='no'), recorder:
        model(torch.randn(3, 2), fail=True)
    assert num_hooks(model) == 0
    assert len(recorder) == 0
    with recorder:
        model(torch.randn(3, 2))
    assert 'shared' in recorder


def test_nested_recorders_work_and_one_twice_is_an_error():
    model = Twice()
    outer, inner = FeatureRecorder(model, ['shared']), FeatureRecorder(model, ['shared'])
    with outer:
        first = model(torch.randn(3, 2))
        with inner:
            second = model(torch.randn(3, 2))
        assert inner['shared'] is second
        with pytest.raises(RuntimeError, match='another one'), outer:
            pass
        assert outer['shared'] is second
        third = model(torch.randn(3, 2))
    assert outer['shared'] is third and first is not third
    assert inner['shared'] is second
    assert num_hooks(model) == 0


def test_a_path_without_a_record_is_a_key_error_that_says_why():
    model = Twice()
    recorder = FeatureRecorder(model, ['unused'])
    with recorder:
        model(torch.randn(3, 2))
    assert 'unused' not in recorder
    with pytest.raises(KeyError, match='did not run'):
        recorder['unused']
    with pytest.raises(KeyError, match='was not asked for'):
        recorder['shared']


def test_wrong_path_names_the_nearest():
    model = trained(vim_config())
    with pytest.raises(UserError, match=r"no module 'backbone.block.0'.*'backbone.blocks.0'"):
        FeatureRecorder(model, ['head', 'backbone.block.0'])
