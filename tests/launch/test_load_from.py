"""A training does not begin with a checkpoint of another model."""

from contextlib import nullcontext

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from safetensors.torch import save_file
from torch import nn

from transmamba_mm.errors import UserError
from transmamba_mm.launch.load_from import check_load_from


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))


def begin(file, model, **settings):
    check_load_from(Config(dict(load_from=str(file), **settings)), model)


def test_a_head_for_other_classes_may_differ(model, tmp_path):
    other = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 7))
    torch.save({'state_dict': other.state_dict()}, tmp_path / 'a.pth')
    begin(tmp_path / 'a.pth', model)


def test_another_model_is_refused(model, tmp_path):
    torch.save({'state_dict': {'0.weight': torch.zeros(5, 5)}}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match=r'Sequential: 0 of its 1 .* 0.weight \(5, 5\), \(3, 2\)'):
        begin(tmp_path / 'a.pth', model)
    begin(tmp_path / 'a.pth', model, resume=True)  # that is found out by the optimizer
    begin('', model)


def test_mmengine_reads_one_kind_of_file(model, tmp_path):
    save_file(model.state_dict(), tmp_path / 'a.safetensors')
    with pytest.raises(UserError, match=r'a.safetensors has to be a .pth file\.'):
        begin(tmp_path / 'a.safetensors', model)
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'iter_1.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_1.pth'))
    with pytest.raises(UserError, match=r'such as .*iter_1.pth'):
        begin(tmp_path, model)


def test_a_single_tensor_that_happens_to_fit_is_not_enough(model, tmp_path):
    weights = {'0.bias': torch.zeros(3), '1.weight': torch.zeros(9, 9)}
    torch.save(weights, tmp_path / 'a.pth')
    with pytest.raises(UserError, match=r'a.pth .*1 of its 2 tensors .*1.weight \(9, 9\)'):
        begin(tmp_path / 'a.pth', model)


class Pretrained(BaseModule):
    """A body that is to be filled from a checkpoint."""

    def __init__(self, **settings):
        super().__init__(dict(type='Pretrained', **settings))
        self.linear = nn.Linear(2, 3)


@pytest.mark.parametrize(
    'prefix, key, expected',
    [
        (None, 'backbone.linear', r"0 of its 2 tensors .*prefix='backbone\.'"),
        ('backbone', 'student.backbone.linear', r"prefix='backbone\.'"),
        (None, 'student.backbone.linear', r"prefix='student\.backbone\.'"),
        ('neck', 'backbone.linear', r"prefix='neck\.'"),
        ('backbone', 'backbone.linear', None),
        ('backbone.', 'backbone.linear', None),
        (None, 'linear', None),
    ],
)
def test_pretrained_weights_of_something_else_are_refused(tmp_path, prefix, key, expected):
    file = str(tmp_path / 'a.pth')
    weights = {f'{key}.{name}': value for name, value in nn.Linear(2, 3).state_dict().items()}
    torch.save({'state_dict': weights}, file)
    model = nn.ModuleDict({'body': Pretrained(checkpoint=file, prefix=prefix)})
    with (
        pytest.raises(UserError, match=f'body.init_cfg.*{expected}') if expected else nullcontext()
    ):
        begin('', model)


def test_pretrained_without_a_checkpoint_is_left_to_mmengine():
    begin('', nn.ModuleDict({'body': Pretrained()}))
