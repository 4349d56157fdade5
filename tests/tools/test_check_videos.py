"""check_videos.py finds what cannot be read or is short, and says what to do."""

import json
import os
import shutil

import pytest

from tests.datasets.video.clips import bad_videos, damage, write_clip, write_frames
from tests.tools.command_line import run_tool
from transmamba_mm.apis.check_videos import VideoCheck, check_video, write_list
from transmamba_mm.apis.find_videos import find_videos
from transmamba_mm.datasets.video.bad_video import FIXES
from transmamba_mm.errors import UserError

TOOL = 'datasets/check_videos.py'


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """Three good videos, one of them a folder, a short one, and one for each cause but missing."""
    folder = tmp_path_factory.mktemp('videos')
    for name in ('good', 'sub/other'):
        (folder / name).parent.mkdir(exist_ok=True)
        write_clip(folder / f'{name}.mp4', 12)
    write_frames(folder / 'frames', 9)
    write_clip(folder / 'short.mp4', 5)
    bad_videos(folder)
    (folder / 'notes.md').write_text('no video')
    return folder


def test_finds_and_explains(videos, tmp_path):
    done = run_tool(TOOL, videos, '--write-list', 'good.txt', cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert '7 of 10 videos need care' in done.stdout
    for cause in FIXES.keys() - {'missing', 'no frames'}:
        assert cause in done.stdout and FIXES[cause][:40] in done.stdout
    assert 'short.mp4' in done.stdout and 'num_frames' in done.stdout
    assert (tmp_path / 'good.txt').read_text().split() == [
        str(videos / name) for name in ('frames', 'good.mp4', 'sub/other.mp4')
    ]


def test_good_videos_pass(videos, tmp_path):
    write_clip(tmp_path / 'good.mp4', 5)
    options = ['--min-frames', '5', '--jobs', '1', '--write-list', 'all.json']
    done = run_tool(TOOL, tmp_path, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'All 1 videos are good' in done.stdout
    report = json.loads((tmp_path / 'all.json').read_text())
    assert report == {'good': [str(tmp_path / 'good.mp4')], 'bad': []}


def test_annotation_files_name_videos_that_may_be_missing(videos, tmp_path):
    files = {
        'list.txt': 'good.mp4\nsub/other.mp4\ngone.mp4\n',
        'test.csv': 'key,video_id,sentence\nret0,good,a\nret1,other,"b, c"\nret2,gone,d\n',
        'train.json': json.dumps(
            {'info': {}, 'sentences': [{'video_id': v} for v in ('good', 'other', 'gone', 'good')]}
        ),
        'captions.jsonl': '\ufeff{"video": "good.mp4", "caption": "one\u2028two"}\n'
        '{"video": "other.mp4"}\n{"video": "gone.mp4"}\n',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding='utf-8')
        found = find_videos([str(tmp_path / name)], str(videos))
        assert [check_video(path).cause for path in found if 'gone' not in path] == ['', '']
        (gone,) = (path for path in found if 'gone' in path)
        assert check_video(gone).cause == 'missing'


def test_every_frame_finds_damage_between(tmp_path):
    path = str(damage(write_clip(tmp_path / 'clip.mp4')))
    assert check_video(path, every_frame=True).cause == 'damaged'


@pytest.mark.parametrize(
    ('name', 'text', 'word'),
    [
        ('a.json', '{', 'a.json: not JSON'),
        ('a.jsonl', '{"video": "a"}\n\n{"vid', r'a\.jsonl, line 3: not JSON'),
        ('a.jsonl', '{"image": "x"}', 'names no video'),
        ('a.txt', '', 'names no video'),
    ],
)
def test_lists_that_are_none(tmp_path, name, text, word):
    (tmp_path / name).write_text(text, encoding='utf-8')
    with pytest.raises(UserError, match=word):
        find_videos([str(tmp_path / name)])


def test_nothing_to_look_at(tmp_path):
    shutil.copy(__file__, tmp_path)
    with pytest.raises(UserError, match='No video was found'):
        find_videos([str(tmp_path)])
    with pytest.raises(UserError, match='does not exist'):
        find_videos([str(tmp_path / 'gone')])
    (tmp_path / 'list.txt').write_text('a.mp4')
    with pytest.raises(UserError, match=r'no folder .*gone: --root'):
        find_videos([str(tmp_path / 'list.txt')], str(tmp_path / 'gone'))


@pytest.mark.parametrize('file', ['all.txt', 'all.json'])
def test_names_that_are_no_text_are_listed_as_they_are(tmp_path, file):
    name = os.fsdecode(b'bad\xff.mp4')
    write_list([VideoCheck(name), VideoCheck('sub/' + name, 'empty', name)], str(tmp_path / file))
    assert b'bad\xff.mp4' in (tmp_path / file).read_bytes()


def test_a_list_that_cannot_be_written_is_refused_before_the_work(videos, tmp_path):
    done = run_tool(TOOL, videos, '--write-list', 'absent/good.txt', cwd=tmp_path)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert 'absent/good.txt: there is no such folder' in done.stderr
    assert 'need care' not in done.stdout
