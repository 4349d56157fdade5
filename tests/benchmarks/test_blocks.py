"""Single blocks, and invalid requests."""

import pytest
import torch
from mmengine.config import Config

from benchmarks.machine import pick_device
from benchmarks.model.benchmark import read_models
from benchmarks.model.blocks import BlockPair
from tests.tools.command_line import ROOT
from transmamba_mm.errors import UserError

CPU = torch.device('cpu')


def models(config):
    return read_models(Config.fromfile(ROOT / 'configs' / config))


def test_blocks_take_the_fast_paths():
    pair = BlockPair.of(models('transmamba/vim-nano_deit-nano_digits.py'), CPU)
    assert pair.width == 64
    assert not pair.blocks['student'].tap.watched
    assert 'scaled_dot_product' in pair.attention


def test_blocks_of_different_widths():
    with pytest.raises(UserError, match='student is 192 wide and the teacher 384'):
        BlockPair.of(models('transmamba/vim-t_deit-s_cifar100.py'), CPU)


def test_a_config_without_a_teacher():
    with pytest.raises(UserError, match='has no teacher'):
        models('teachers/deit-nano_digits.py')


def test_no_threads():
    with pytest.raises(UserError, match='--threads=0'):
        pick_device('cpu', 0)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_no_gpu():
    with pytest.raises(UserError, match='use --device cpu'):
        pick_device('cuda', None)
