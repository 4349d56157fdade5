"""A training by the tools: it has its work_dir alone, and stops when it is asked to."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.tools.command_line import ROOT, TINY_STUDENT, run_tool, write_scratch

pytestmark = pytest.mark.slow
SECONDS = 240


def test_a_second_training_is_refused_and_the_first_stops_by_the_signal(tmp_path):
    config = write_scratch(tmp_path, TINY_STUDENT, steps=100_000)
    log = tmp_path / 'output.log'
    with log.open('w') as output:
        training = subprocess.Popen(
            [sys.executable, ROOT / 'tools/train.py', config],
            cwd=tmp_path,
            env={**os.environ, 'OMP_NUM_THREADS': '1'},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        note, deadline = tmp_path / 'work_dirs/scratch/last_checkpoint', time.monotonic() + SECONDS
        while not note.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        second = run_tool('train.py', config, cwd=tmp_path)
        assert second.returncode == 1 and f'process {training.pid} on ' in second.stderr
        assert 'Traceback' not in second.stderr
        training.send_signal(signal.SIGTERM)
        assert training.wait(SECONDS) == -signal.SIGTERM
    finally:
        training.kill()
    assert 'Stopped by SIGTERM' in log.read_text()
