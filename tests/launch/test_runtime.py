"""Process-wide settings of a config take effect, or are refused before anything runs."""

import platform
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.device import get_device

from transmamba_mm.errors import UserError
from transmamba_mm.launch.runtime import choose_device, prepare_runtime
from transmamba_mm.ops.backends import select

CPU = torch.device('cpu')
#: Prints the MiB that are held after a tensor of 256 has been freed.
FREED = """
import sys, torch
from transmamba_mm.launch.runtime import keep_freed_memory
if sys.argv[1] == 'keep':
    assert keep_freed_memory()
tensor = torch.ones(2**26)
del tensor
pages = int(open('/proc/self/statm').read().split()[1])
print(pages * 4096 // 2**20)
"""


@pytest.fixture(autouse=True)
def _defaults(monkeypatch):
    monkeypatch.setattr(select, '_default', 'auto')
    monkeypatch.delenv(select.ENVIRONMENT, raising=False)


def chosen():
    return select.select_backend('scan', 'auto', CPU, torch.float32).name


def test_the_config_chooses_the_scan():
    prepare_runtime(Config({'scan_backend': 'reference'}))
    assert chosen() == 'reference'


def test_the_environment_stands_above_the_config(monkeypatch):
    monkeypatch.setenv(select.ENVIRONMENT, 'torch')
    prepare_runtime(Config({'scan_backend': 'reference'}))
    assert chosen() == 'torch'


def test_a_backend_that_cannot_be_had_is_refused():
    with pytest.raises(UserError, match=r"'cuda_graphs' cannot be used.*key `scan_backend`"):
        prepare_runtime(Config({'scan_backend': 'cuda_graphs'}))


@pytest.mark.skipif(torch.cuda.is_available(), reason='a GPU keeps AmpOptimWrapper')
def test_mixed_precision_on_a_cpu_is_bfloat16_without_loss_scaling():
    optimizer = {'type': 'AdamW', 'lr': 1e-3}
    wrapper = {'type': 'AmpOptimWrapper', 'loss_scale': 'dynamic', 'optimizer': optimizer}
    cfg = Config({'optim_wrapper': wrapper})
    prepare_runtime(cfg)
    assert cfg.optim_wrapper.type == 'transmamba_mm.CpuAmpOptimWrapper'
    assert cfg.optim_wrapper.keys() == {'type', 'optimizer'}


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='only glibc has the setting')
def test_freed_memory_is_kept():
    """In processes of their own: a fork inherits the heap of whatever was trained before."""

    def held(how: str) -> int:
        command = [sys.executable, '-c', FREED, how]
        return int(subprocess.run(command, capture_output=True, check=True).stdout.split()[-1])

    assert held('keep') > held('default') + 200


@pytest.mark.parametrize('name', ['gpu', 'cuda:99', 'cpu:x'])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(UserError, match=rf"The device '{name}' cannot be used here \(\w.*\): name"):
        choose_device(name)


def test_the_fastest_device_is_the_default():
    assert choose_device(None).type == get_device()
    assert choose_device('cpu') == CPU
