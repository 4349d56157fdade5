"""The analysis tools say how they are used, and draw."""

import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib import image

ROOT = Path(__file__).parents[2]
TOOLS = sorted((ROOT / 'tools/analysis').glob('*.py'))
CONFIG = ROOT / 'configs/transmamba/vim-nano_deit-nano_digits.py'


def call(tool: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(tool), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize('tool', TOOLS, ids=lambda path: path.stem)
def test_help_shows_an_example(tool):
    done = call(tool, '--help')
    assert done.returncode == 0
    assert f'python tools/analysis/{tool.name}' in done.stdout


def test_browse_dataset(tmp_path):
    done = call(ROOT / 'tools/analysis/browse_dataset.py', CONFIG, '--out', tmp_path / 'seen.png')
    assert done.returncode == 0, done.stderr
    assert 'Saved 64 images' in done.stdout
    assert image.imread(tmp_path / 'seen.png').std() > 0.1


def test_a_mistake_is_one_message(tmp_path):
    study = ROOT / 'tools/analysis/data_efficiency.py'
    done = call(study, CONFIG, '--fractions', '2', '--work-dir', tmp_path / 'study')
    assert done.returncode == 1
    assert done.stderr.strip() == 'error: A fraction of the data is in (0, 1], not 2.0.'
