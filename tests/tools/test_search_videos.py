"""search_videos.py as a person uses it: a folder, some texts, a list and a picture."""

import pytest
from matplotlib import image

from tests.apis.search_run import write_run
from tests.datasets.video.clips import write_clip
from tests.tools.command_line import call_tool

TOOL = 'search_videos.py'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A run, and three videos, one of them damaged."""
    folder = tmp_path_factory.mktemp('search')
    write_run(folder / 'run')
    (folder / 'videos').mkdir()
    for name, frames in (('a', 4), ('b', 24)):
        write_clip(folder / 'videos' / f'{name}.mp4', frames)
    (folder / 'videos' / 'page.mp4').write_text('<html>')
    return folder


def test_finds_remembers_and_draws(folder):
    command = [TOOL, '--checkpoint', 'run', '--videos', 'videos', '--text', 'a seven', 'two']
    first = call_tool(*command, '--text', 'left', cwd=folder)
    assert first.returncode == 0, first.stderr
    assert '2 videos embedded, 0 known, 0 gone, 1 unreadable' in first.stdout
    assert '1 of 3 videos' in first.stdout and 'not a video' in first.stdout
    lists = first.stdout.split('\n\n')[1:4]
    assert [part.splitlines()[0] for part in lists] == ['a seven', 'two', 'left']
    for part in lists:
        ranks, scores, paths = zip(*(row.split() for row in part.splitlines()[1:]), strict=True)
        assert ranks == ('1', '2') and sorted(paths) == ['a.mp4', 'b.mp4']
        assert float(scores[0]) >= float(scores[1])
    assert image.imread(folder / 'run' / 'search.png').std() > 0.05
    second = call_tool(*command, '--top', '1', '--out', 'found.png', cwd=folder)
    assert '0 videos embedded, 2 known, 0 gone, 1 unreadable' in second.stdout
    assert second.stdout.count('.mp4') == 3  # one of each text, and the damaged one
    assert (folder / 'found.png').is_file()


def test_unknown_words_are_printed(folder):
    texts = ['a zebra moves', '七', 'a seven']
    command = [TOOL, '--checkpoint', 'run', '--videos', 'videos', '--text', *texts]
    done = call_tool(*command, '--jobs', '0', cwd=folder)
    assert done.returncode == 0, done.stderr
    parts = [part for part in done.stdout.split('\n\n') if part.split('\n')[0] in texts]
    seconds = [part.splitlines()[1].strip() for part in parts]
    assert seconds[0].endswith(': zebra') and 'ocabulary' in seconds[0]
    assert 'ocabulary' in seconds[1] and '七' not in seconds[1]
    assert seconds[2].startswith('1 ') and all('.mp4' in part for part in parts)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--text', ' '], 'A text is empty'),
        (['--text', 'seven \udcff'], 'is not valid UTF-8 text'),
        (['--text', 'a', '--top', '0'], '--top=0'),
        (['--text', 'a', '--out', 'sheet.mp4'], 'end in .png'),
        (['--text', 'a', '--videos', 'empty'], 'No video was found'),
        (['--text', 'a', '--checkpoint', 'gone'], 'No checkpoint at gone'),
    ],
)
def test_mistakes_end_in_one_message(folder, options, message):
    (folder / 'empty').mkdir(exist_ok=True)
    command = ['--checkpoint', 'run', '--videos', 'videos', '--jobs', '0', *options]
    done = call_tool(TOOL, *command, cwd=folder)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert done.stderr.startswith('error: ') and message in done.stderr
