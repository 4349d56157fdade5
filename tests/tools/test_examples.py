"""Every tool's help shows an example, and what README and the examples name exists."""

import re

import pytest

from tests.tools.command_line import ROOT, call_tool, run_tool

FILES = sorted((ROOT / 'tools').rglob('*.py'))
TOOLS = [str(file.relative_to(ROOT / 'tools')) for file in FILES]
TEXTS = [ROOT / 'README.md', *FILES]
CONFIGS = {file.stem for file in (ROOT / 'configs').rglob('*.py')}
#: No other test runs these in a process of their own.
IN_PROCESS = [
    *('analysis/browse_dataset.py', 'analysis/study.py', 'analysis/layer_similarity.py'),
    'analysis/retrieval_errors.py',
    *('datasets/check_videos.py', 'datasets/make_moving_digits.py', 'demo.py', 'search_videos.py'),
]


@pytest.mark.parametrize('tool', TOOLS)
def test_help_shows_an_example(tool, tmp_path):
    done = call_tool(tool, '--help', cwd=tmp_path)
    assert done.returncode == 0
    assert f'python tools/{tool}' in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize('tool', IN_PROCESS)
def test_tool_is_a_script(tool, tmp_path):
    done = run_tool(tool, '--help', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f'python tools/{tool}' in done.stdout


@pytest.mark.parametrize('text', TEXTS, ids=lambda path: path.name)
def test_configs_of_the_examples_exist(text):
    names = re.findall(r'(?<![\w./])(?:configs|tools)/[\w./-]+\.(?:py|sh)\b', text.read_text())
    assert [name for name in names if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize('text', TEXTS, ids=lambda path: path.name)
def test_work_dirs_of_the_examples_are_those_of_a_config(text):
    names = re.findall(r'work_dirs/(\w+-nano_[\w-]+)', text.read_text())
    assert [name for name in names if name not in CONFIGS] == []
