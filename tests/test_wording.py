"""Docstrings, comments, messages and test names use technical verbs, as other libraries do."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__)
ROOT = HERE.parents[1]
FOLDERS = ('transmamba_mm', 'tools', 'benchmarks', 'configs', 'tests')
#: Software reports, prints, reads, supports, needs.
BANNED = re.compile(
    r'\b(says?|said|saying|tells?|told|telling|speaks?|spoken?|knows?|knew|knowing'
    r'|looks?(?!-up)|looking|looked(?! up)|sees|saw|seeing'
    r'|(?:to|can|cannot|not|must|may|would)\s+see|(?<!images )(?<!samples )seen'
    r'|eyes?|faces?|wants?|wanted|things?|anew|mend'
    r'|of\s+(?:which|whom)|made\s+of|(?:hands?|handed)\s+(?:on|over))\b',
    re.IGNORECASE,
)
#: Data and names of tests, not sentences of ours.
ALLOWED = {
    'tests/datasets/test_format_choices.py': {'look'},
    'tests/datasets/test_llava_instruct.py': {'say'},
    'tests/evaluation/test_scienceqa.py': {'know'},
    'tests/test_checks.py': {'thing'},
}


def faults(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a file with a banned word, and the word."""
    for number, text in prose(path):
        for match in BANNED.finditer(text):
            yield number + text.count('\n', 0, match.start()), ' '.join(match[0].lower().split())


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Docstrings, comments, other strings with a space, names of tests; each with its line."""
    content = path.read_text()
    if not BANNED.search(content.replace('_', ' ')):
        return  # most files
    if path.suffix != '.py':
        for number, line in enumerate(content.splitlines(), 1):
            yield number, line.partition('//')[2]
        return
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        kind, text = tokenize.tok_name[token.type], token.string
        if kind == 'NAME' and text.lower().startswith('test'):
            yield token.start[0], text.replace('_', ' ')
        elif kind == 'COMMENT' or (kind in ('STRING', 'FSTRING_MIDDLE') and ' ' in text):
            # What an f-string has in braces is code.
            yield token.start[0], re.sub(r'\{[^{}]*\}', '', text)


@pytest.mark.parametrize('folder', FOLDERS)
def test_sentences_use_technical_verbs(folder):
    found = []
    for path in sorted((ROOT / folder).rglob('*')):
        place = path.relative_to(ROOT)
        if path.suffix in ('.py', '.cpp', '.h') and '.mim' not in place.parts and path != HERE:
            allowed = ALLOWED.get(place.as_posix(), set())
            found += [f'{place}:{n}: {word}' for n, word in faults(path) if word not in allowed]
    assert not found, '\n'.join(found)


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('"""A part, of\nwhich one is broken."""', ['of which']),
        ('x = 1  # it knows', ['knows']),
        ("x = f'it says {wants}'", ['says']),
        ('def test_sees_all(): ...', ['sees']),
        ("wanted = known['told'] + torch.eye(2)  # seven samples seen; looked up", []),
    ],
)
def test_prose_is_checked_and_code_is_not(tmp_path, text, words):
    file = tmp_path / 'module.py'
    file.write_text(text + '\n')
    assert [word for _, word in faults(file)] == words
