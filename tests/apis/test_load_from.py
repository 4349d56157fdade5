"""A training does not begin with a checkpoint of something else."""

import pytest
import torch
from mmengine.config import Config
from safetensors.torch import save_file
from torch import nn

from transmamba_mm.apis.load_from import check_load_from
from transmamba_mm.errors import UserError


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
    with pytest.raises(UserError, match=r'nothing of the Sequential.* 0.weight \(5, 5\).*\(3, 2\)'):
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
