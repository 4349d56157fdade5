"""Mutations of all nano configs: each trains, with an effect, or ends in one message.

500 of them: python -m tests.configs.fuzz_runs FOLDER 500 12
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MUTANTS, SEED = 80, 12


@pytest.mark.slow
def test_no_mutant_is_ignored_or_ends_in_a_traceback(tmp_path):
    command = [sys.executable, '-m', 'tests.configs.fuzz_runs', tmp_path, str(MUTANTS), str(SEED)]
    result = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    print(result.stdout)
    verdicts = json.loads((tmp_path / 'verdicts.json').read_text())
    bad = [entry for entry in verdicts if entry['verdict'] not in ('trains', 'refused')]
    assert len(verdicts) == MUTANTS
    assert not bad, json.dumps(bad, indent=1)
