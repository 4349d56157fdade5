"""Parts of Markdown files that are written from the lines of a study."""

import re
from pathlib import Path

import pytest

from tests.study.hand_made import VIM, line
from transmamba_mm.errors import UserError
from transmamba_mm.study.lines import append_line
from transmamba_mm.study.report import PART, fill

ROOT = Path(__file__).parents[2]
STUDY = f"""
results = 'lines.jsonl'
regimes = dict(C=dict())
blocks = dict(headline=dict(configs=['{VIM}'], methods=['scratch', 'wsab'], fractions=[1, 0.1]))
"""
PAGE = """# Results

<!-- study mine.py table headline -->
| old | numbers |
<!-- /study -->

This part is written by hand.

<!-- study mine.py differences headline other -->
<!-- /study -->
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a study and two lines of it."""
    (tmp_path / 'mine.py').write_text(STUDY)
    for method, value in (('scratch', 85.0), ('wsab', 87.5)):
        test = {'accuracy/top1': value, 'other': 2 * value}
        append_line(tmp_path / 'lines.jsonl', line(method, **{'test': test}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_parts_are_written_and_the_rest_stays(folder):
    filled = fill(PAGE)
    assert '| vim-nano | scratch | 85.00 |\n| vim-nano | wsab | 87.50 |\n<!-- /study -->' in filled
    assert '| vim-nano | wsab | +5.00 |' in filled  # the other metric
    assert 'old' not in filled and 'This part is written by hand.' in filled
    assert fill(filled) == filled


def test_a_block_without_lines(folder):
    (folder / 'lines.jsonl').unlink()
    assert fill(PAGE).count('Not run yet.\n<!-- /study -->') == 2


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('tabel headline', r"part='tabel' of mine\.py .*table"),
        ('table headlines', r"block='headlines'"),
    ],
)
def test_unknown_part_or_block(folder, text, message):
    with pytest.raises(UserError, match=message):
        fill(f'<!-- study mine.py {text} -->\n<!-- /study -->')


PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_numbers_of_our_pages_are_those_of_the_lines(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = page.read_text()
    assert len(PART.findall(text)) == len(re.findall('<!-- study ', text))
    assert fill(text) == text, (
        f'python tools/analysis/study.py STUDY --report {page.relative_to(ROOT)}'
    )
