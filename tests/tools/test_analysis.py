"""The analysis tools draw, and refuse what makes no sense."""

import json

import pytest
from matplotlib import image

from tests.tools.command_line import LEAF, call_tool

STUDY = f"""
results = 'lines.jsonl'
blocks = dict(b=dict(configs=['{LEAF}'], methods=['scratch'], fractions=[0.1]))
options = {{
    'train_cfg.max_iters': 2, 'train_cfg.val_interval': 1, 'param_scheduler': [],
}}
"""


def test_browse_dataset(tmp_path):
    done = call_tool('analysis/browse_dataset.py', LEAF, '--out', 'batch.png', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'Saved 64 images' in done.stdout
    assert image.imread(tmp_path / 'batch.png').std() > 0.1


@pytest.mark.parametrize(
    ('tool', 'arguments'),
    [
        ('analysis/browse_dataset.py', []),
        ('analysis/layer_similarity.py', ['absent']),
        ('cache_teacher.py', ['cache']),
    ],
)
def test_a_misspelt_key_is_refused_as_in_a_training(tmp_path, tool, arguments):
    option = 'train_dataloader.dataset.fractoin=0.5'
    done = call_tool(tool, LEAF, *arguments, '--cfg-options', option, cwd=tmp_path)
    assert done.returncode == 1 and "takes no 'fractoin'" in done.stderr, done.stderr


def test_study_and_its_report(tmp_path):
    def study(*arguments):
        done = call_tool('analysis/study.py', 'mine.py', *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / 'mine.py').write_text(STUDY)
    (tmp_path / 'page.md').write_text('<!-- study mine.py table b -->\n<!-- /study -->\n')
    out = study('b', '--jobs', '1')
    assert '1 of 1 trainings are left.' in out
    line = json.loads((tmp_path / 'lines.jsonl').read_text())
    row = f'| vim-nano | scratch | {line["test"]["accuracy/top1"]:.2f} |'
    assert row in out
    assert '0 of 1 trainings are left.' in study()
    study('--report', 'page.md')
    assert row in (tmp_path / 'page.md').read_text()


def test_a_mistake_is_one_message(tmp_path):
    (tmp_path / 'mine.py').write_text(STUDY.replace('0.1', '2'))
    done = call_tool('analysis/study.py', 'mine.py', cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith('error: fractions=[2] of')
