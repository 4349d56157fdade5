import copy
import pickle

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
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_records_what_modules_return():
    model = trained(vim_config())
    images = torch.randn(2, 1, 8, 8)
    recorder = FeatureRecorder(model, ['backbone.patch_embed', 'head'])
    with recorder.record(model) as recording:
        logits = model(images)
    assert set(recording.outputs) == {'backbone.patch_embed', 'head'}
    assert recording.outputs['head'] is logits
    patches = model.backbone.patch_embed(images)
    assert torch.equal(recording.outputs['backbone.patch_embed'], patches)


def test_records_what_modules_take():
    model = Twice()
    first, second = torch.randn(3, 2), torch.randn(3, 2)
    with FeatureRecorder(model, inputs=['shared']).record(model) as recording:
        model.shared(first)
        model.shared(input=second)
    assert not recording.outputs
    assert recording.inputs['shared'].args == ()
    assert recording.inputs['shared'].kwargs['input'] is second


def test_directions_are_kept_apart_only_while_recorded():
    model = trained(vim_config()).backbone.eval()
    images = torch.randn(2, 1, 8, 8)
    path, block = model.direction_paths()[1], model.blocks[1]
    recorder = FeatureRecorder(model, [path, 'blocks.0', 'blocks.1'])
    assert not block.tap.watched
    with recorder.record(model) as recording:
        assert block.tap.watched
        model(images)
    assert not block.tap.watched
    outputs = recording.outputs
    assert outputs['blocks.1'].shape == (2, 17, 16)
    mixed = outputs['blocks.1'] - outputs['blocks.0']
    torch.testing.assert_close(outputs[path].sum(1), mixed, atol=1e-5, rtol=1e-4)


def test_keeps_the_last_of_several_runs():
    model = Twice()
    with FeatureRecorder(model, ['shared']).record(model) as recording:
        out = model(torch.randn(3, 2))
    assert recording.outputs['shared'] is out


def test_nothing_is_hooked_or_recorded_outside():
    model = Twice()
    recorder = FeatureRecorder(model, ['shared'], ['shared'])
    assert num_hooks(model) == 0
    with recorder.record(model) as recording:
        out = model(torch.randn(3, 2))
    assert num_hooks(model) == 0
    model(torch.randn(3, 2))
    assert recording.outputs['shared'] is out
    with recorder.record(model) as another:
        assert not another.outputs and recording.outputs


def test_an_error_inside_removes_hooks():
    model = Twice()
    recorder = FeatureRecorder(model, ['shared', 'unused'], ['shared'])
    with pytest.raises(RuntimeError, match='no'), recorder.record(model):
        model(torch.randn(3, 2), fail=True)
    assert num_hooks(model) == 0


def test_recordings_may_be_nested():
    model = Twice()
    recorder = FeatureRecorder(model, ['shared'])
    with recorder.record(model) as outer:
        model(torch.randn(3, 2))
        with recorder.record(model) as inner:
            second = model(torch.randn(3, 2))
        assert inner.outputs['shared'] is outer.outputs['shared'] is second
        third = model(torch.randn(3, 2))
    assert outer.outputs['shared'] is third
    assert inner.outputs['shared'] is second
    assert num_hooks(model) == 0


def test_a_copy_of_the_model_is_recorded_too():
    model = Twice()
    recorder = pickle.loads(pickle.dumps(copy.deepcopy(FeatureRecorder(model, ['shared']))))
    twin = copy.deepcopy(model)
    with recorder.record(twin) as recording:
        model(torch.randn(3, 2))
        assert not recording.outputs
        out = twin(torch.randn(3, 2))
    assert recording.outputs['shared'] is out


def test_a_path_without_a_record_is_a_key_error():
    model = Twice()
    with FeatureRecorder(model, ['unused']).record(model) as recording:
        model(torch.randn(3, 2))
    for path in ('unused', 'shared'):
        with pytest.raises(KeyError, match=path):
            recording.outputs[path]


def test_wrong_path_names_the_nearest():
    model = trained(vim_config())
    with pytest.raises(UserError, match=r"no module 'backbone.block.0'.*'backbone.blocks.0'"):
        FeatureRecorder(model, ['head', 'backbone.block.0'])


class Sum(nn.Module):
    def forward(self, one, other):
        return one.sum() + other.sum()


class Compared(nn.Module):
    """A projection, and a sum of two: the projection, the same detached, or a parameter."""

    def __init__(self, *read):
        super().__init__()
        self.project, self.scale = nn.Linear(2, 2), nn.Parameter(torch.ones(()))
        self.compare, self.read = Sum(), read

    def forward(self, x):
        x = self.project(x)
        named = {'trained': x, 'frozen': x.detach(), 'parameter': self.scale}
        return self.compare(*(named[name] for name in self.read))


@pytest.mark.parametrize(
    ('read', 'is_refused'),
    [
        (('trained', 'frozen'), False),
        (('frozen', 'trained'), False),  # a frozen tower beside a trained one
        (('frozen', 'frozen'), True),
        (('frozen', 'parameter'), True),
    ],
)
def test_inputs_without_a_graph_are_refused(read, is_refused):
    model = Compared(*read)
    with FeatureRecorder(model, [], ['compare']).record(model) as recording:
        model(torch.ones(1, 2))
    if is_refused:
        with pytest.raises(UserError, match=r"'compare'.*with_cp"):
            recording.check_graph()
    else:
        recording.check_graph()
