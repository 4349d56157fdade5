"""Two processes on the CPU, through the same scripts that start GPUs."""

import shutil
import socket

import pytest

from tests.tools.command_line import run_tool

pytestmark = pytest.mark.slow


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return str(probe.getsockname()[1])


def test_two_gloo_processes_train_and_test(trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    options = ['--work-dir', 'both', '--cfg-options', 'env_cfg.dist_cfg.backend=gloo']
    result = run_tool(
        'dist_train.sh', 'transmamba.py', '2', *options, cwd=tmp_path, PORT=free_port()
    )
    assert result.returncode == 0, result.stderr
    assert 'Distributed training: True' in result.stdout
    assert '[4/4]' in result.stdout
    result = run_tool('dist_test.sh', 'transmamba.py', 'both', '2', cwd=tmp_path, PORT=free_port())
    assert result.returncode == 0, result.stderr
    assert 'accuracy/top1' in result.stdout
