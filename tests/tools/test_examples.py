"""What README and the tools' examples name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = [ROOT / 'README.md', *sorted((ROOT / 'tools').rglob('*.py'))]
CONFIGS = {file.stem for file in (ROOT / 'configs').rglob('*.py')}


@pytest.mark.parametrize('text', TEXTS, ids=lambda path: path.name)
def test_configs_of_the_examples_exist(text):
    names = re.findall(r'(?<![\w./])(?:configs|tools)/[\w./-]+\.(?:py|sh)\b', text.read_text())
    assert [name for name in names if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize('text', TEXTS, ids=lambda path: path.name)
def test_work_dirs_of_the_examples_are_those_of_a_config(text):
    names = re.findall(r'work_dirs/(\w+-nano_[\w-]+)', text.read_text())
    assert [name for name in names if name not in CONFIGS] == []
