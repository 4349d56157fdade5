"""Each workaround works as documented, against the real library."""

import atexit
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.analysis import complexity_analysis
from mmengine.config import Config
from mmengine.config import utils as config_utils
from mmengine.logging import MMLogger
from mmengine.registry import MODELS
from mmengine.runner import CheckpointLoader
from yapf.yapflib import yapf_api

from tests.engine.tiny_run import tiny_runner
from tests.test_checkpoint import Malicious
from transmamba_mm.compat import format_configs_once, internal
from transmamba_mm.errors import UserError


def test_resume_continues_at_the_right_step_with_the_same_weights(tmp_path, safe_loading):
    whole = tiny_runner(tmp_path / 'whole')
    whole.train()
    tiny_runner(tmp_path / 'parts', epochs=1).train()
    resumed = tiny_runner(tmp_path / 'parts', resume=True)
    start = []
    resumed.model.register_forward_pre_hook(lambda *_: start.append(resumed.iter))
    resumed.train()
    assert start[0] == 4 and resumed.iter == 8
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_resume_refuses_a_checkpoint_with_code(tmp_path, safe_loading):
    trace = tmp_path / 'ran'
    torch.save({'state_dict': {}, 'meta': Malicious(trace)}, tmp_path / 'epoch_1.pth')
    runner = tiny_runner(tmp_path, load_from=str(tmp_path / 'epoch_1.pth'), resume=True)
    with pytest.raises(UserError, match='was refused'):
        runner.train()
    assert not trace.exists()


def test_configs_are_found_by_package_name(tmp_path):
    leaf = tmp_path / 'mine.py'
    leaf.write_text("_base_ = 'transmamba_mm::transmamba/vim-s_deit-b_in1k.py'\nseed = 3\n")
    cfg = Config.fromfile(leaf)
    assert cfg.model.student.backbone.arch == 'small' and cfg.seed == 3


def test_package_imports_beside_a_torchvision_that_was_built_for_another_torch(tmp_path):
    """A torchvision whose native operators are missing, as PyPI's is beside CPU torch."""
    package = tmp_path / 'torchvision'
    package.mkdir()
    (package / '__init__.py').write_text('from torchvision import _meta_registrations\n')
    (package / '_meta_registrations.py').write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    compat = Path(__file__).parents[1] / 'transmamba_mm/compat.py'
    script = (
        f'import runpy; runpy.run_path({str(compat)!r})["prepare_torchvision"]()\n'
        'import torchvision; print(torchvision.__file__)'
    )
    result = subprocess.run(
        [sys.executable, '-c', script],
        env={**os.environ, 'PYTHONPATH': str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip() == str(package / '__init__.py'), result.stderr


@pytest.mark.parametrize(
    ('owner', 'name', 'release'),
    [
        (CheckpointLoader, '_schemes', 'mmengine 0.'),
        (Config, '_get_base_files', 'mmengine 0.'),
        (Config, '_get_cfg_path', 'mmengine 0.'),
        (config_utils, 'MODULE2PACKAGE', 'mmengine 0.'),
        (MODELS, '_add_child', 'mmengine 0.'),
        (MMLogger, '_instance_dict', 'mmengine 0.'),
        (complexity_analysis, '_DEFAULT_SUPPORTED_FLOP_OPS', 'mmengine 0.'),
        (complexity_analysis, '_DEFAULT_SUPPORTED_ACT_OPS', 'mmengine 0.'),
        (atexit, '_run_exitfuncs', 'Python 3.'),
    ],
    ids=lambda value: getattr(value, '__name__', None),
)
def test_private_names_of_libraries_are_there_or_missed_by_name(owner, name, release):
    assert internal(owner, name) is not None
    with pytest.raises(ImportError, match=f'{release}.* has no {name}_of_another_release in'):
        internal(owner, f'{name}_of_another_release')


SCAN = """
import sys
import torch
import transmamba_mm
from mmengine.logging import MMLogger
from transmamba_mm.ops import bidirectional_order, directional_scan
MMLogger.get_instance('run', log_file=sys.argv[1])
x, A, B = torch.ones(1, 3, 2), -torch.ones(2, 2, 2), torch.ones(1, 1, 3, 2)
for _ in range(2):
    directional_scan(x, B, A, B, B, None, bidirectional_order(3))
"""


@pytest.mark.parametrize(
    'env, level, facts',
    [
        ({'TRANSMAMBA_SCAN_BACKEND': 'reference'}, 'INFO', ['scan backend: reference']),
        (
            {'CXX': 'absent'},
            'WARNING',
            ['scan backend: torch', 'cpp', 'absent'],
        ),
    ],
)
def test_the_backend_is_in_the_terminal_and_in_the_log_file_once(tmp_path, env, level, facts):
    environment = {**os.environ, 'TRANSMAMBA_CACHE': str(tmp_path / 'cache'), **env}
    result = subprocess.run(
        [sys.executable, '-c', SCAN, tmp_path / 'run.log'],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    for text in (result.stdout, (tmp_path / 'run.log').read_text()):
        (line,) = [line for line in text.splitlines() if 'scan backend' in line]
        assert all(fact in line for fact in ('transmamba_mm', level, *facts))


def test_a_config_is_formatted_once(monkeypatch):
    real, calls = yapf_api.FormatCode, []

    def format_code(text, style_config, **options):
        calls.append(text)
        return real(text, style_config=style_config, **options)

    cfg = Config({'model': {'type': 'Vim', 'arch': {'embed_dims': 64}}, 'seed': 3})
    plain = cfg.pretty_text
    monkeypatch.setattr(yapf_api, 'FormatCode', format_code)
    format_configs_once()
    assert [cfg.pretty_text, cfg.pretty_text, Config(cfg.to_dict()).pretty_text] == [plain] * 3
    assert len(calls) == 1
    cfg.seed = 4
    assert cfg.pretty_text == plain.replace('3', '4')
    assert len(calls) == 2
