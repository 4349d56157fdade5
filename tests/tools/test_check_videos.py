"""check_videos.py finds unreadable and short videos, and names the fix."""

import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from tests.datasets.video.clips import (
    bad_videos,
    damage,
    paint,
    write_animation,
    write_clip,
    write_frames,
)
from tests.tools.command_line import call_tool
from transmamba_mm.datasets.video.check_videos import (
    VideoCheck,
    check_table,
    check_video,
    check_videos,
    write_list,
)
from transmamba_mm.datasets.video.find_videos import find_videos, skipped_note
from transmamba_mm.datasets.video.open_video import open_video
from transmamba_mm.datasets.video.pyav_reader import PyAVReader
from transmamba_mm.datasets.video.video_error import FIXES
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
    done = call_tool(TOOL, videos, '--write-list', 'good.txt', cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert '9 of 12 videos' in done.stdout
    for cause in FIXES.keys() - {'missing', 'no frames'}:
        assert cause in done.stdout and FIXES[cause][:40] in done.stdout
    assert 'Left out 1, no videos by their names: 1 .md.' in done.stdout
    assert 'short.mp4' in done.stdout and 'num_frames' in done.stdout
    assert (tmp_path / 'good.txt').read_text().split() == [
        str(videos / name) for name in ('frames', 'good.mp4', 'sub/other.mp4')
    ]


def test_good_videos_pass(videos, tmp_path):
    write_clip(tmp_path / 'good.mp4', 5)
    options = ['--min-frames', '5', '--jobs', '1', '--write-list', 'all.json']
    done = call_tool(TOOL, tmp_path, *options, cwd=tmp_path)
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
        ('a.json', '{', r'a\.json.* not JSON'),
        ('a.jsonl', '{"video": "a"}\n\n{"vid', r'a\.jsonl, line 3: not JSON'),
        ('a.jsonl', '{"image": "x"}', 'names no video'),
        ('a.txt', '', 'names no video'),
    ],
)
def test_lists_that_are_none(tmp_path, name, text, word):
    (tmp_path / name).write_text(text, encoding='utf-8')
    with pytest.raises(UserError, match=word):
        find_videos([str(tmp_path / name)])


def test_nothing_to_check(tmp_path):
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
    done = call_tool(TOOL, videos, '--write-list', 'absent/good.txt', cwd=tmp_path)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert 'absent/good.txt: there is no such folder' in done.stderr
    assert 'problems' not in done.stdout


def test_animations_and_rare_suffixes_are_found_and_the_rest_is_counted(tmp_path):
    for name in ('a.gif', 'b.webp', 'c.avif', 'd.apng'):
        write_animation(tmp_path / name, 8)
    write_clip(tmp_path / 'E.WMV', 8, codec='wmv2', options={'b': '4M'})
    write_clip(tmp_path / 'f.m2ts', 8, fps=25)
    (tmp_path / 'stills').mkdir()
    for place in range(8):
        Image.fromarray(paint(place)).save(tmp_path / 'stills' / f'{place}.webp')
    (tmp_path / 'empty.mp4').mkdir()
    (tmp_path / 'linked').symlink_to(tmp_path / 'stills')
    (tmp_path / 'loop').symlink_to(tmp_path)
    for name in ('notes.md', 'more.md', 'poster.jpg', 'poster.webp', 'captions'):
        write = Image.new('RGB', (8, 8)).save if 'poster' in name else Path.touch
        write(tmp_path / name)
    skipped = Counter()
    found = {os.path.basename(path): path for path in find_videos([str(tmp_path)], None, skipped)}
    for name in ('linked', 'stills'):  # one folder of stills, by one of its names
        found.pop(name, None)
    assert found.keys() == {
        *('a.gif', 'b.webp', 'c.avif', 'd.apng', 'E.WMV', 'f.m2ts', 'empty.mp4')
    }
    causes = {name: check_video(path).cause for name, path in found.items()}
    assert causes.pop('empty.mp4') == 'no frames' and not any(causes.values())
    assert skipped == {'.md': 2, '.jpg': 1, '.webp': 1, 'without suffix': 1}
    assert skipped_note(skipped).startswith('Left out 5, no videos by their names: 2 .md, ')


def test_the_pool_is_closed_when_its_results_are_there(tmp_path):
    """A pool that still closes its pipes while the interpreter ends prints of bad descriptors."""
    paths = [str(write_clip(tmp_path / f'{place}.mp4', 8)) for place in range(4)]
    earlier = multiprocessing.active_children()  # of other tests' data loaders
    checks = check_videos(paths, jobs=2)
    for _ in range(4):
        next(checks)
    with pytest.raises(StopIteration):
        next(checks)
    stopped = check_videos(paths, jobs=2)
    next(stopped)
    stopped.close()
    names = [type(thread).__name__ for thread in threading.enumerate()]
    assert '_ExecutorManagerThread' not in names
    assert set(multiprocessing.active_children()) <= set(earlier)


def test_a_video_that_crashes_its_decoder_is_found_and_the_others_are_checked(
    tmp_path, monkeypatch
):
    paths = [str(write_clip(tmp_path / f'{name}.mp4', 8)) for name in 'abcde']

    def open_or_crash(path, backend):
        if path == paths[2]:
            os.kill(os.getpid(), signal.SIGKILL)
        return open_video(path, backend)

    monkeypatch.setattr('transmamba_mm.datasets.video.check_videos.open_video', open_or_crash)
    checks = sorted(check_videos(paths, jobs=2), key=lambda check: check.path)
    assert [check.path for check in checks] == paths
    assert [check.cause for check in checks] == ['', '', 'crash', '', '']
    assert paths[2] in checks[2].message and 'crash' in check_table(checks)


def test_any_error_of_a_decoder_is_damage(videos, monkeypatch):
    def fail(self, indices, size):
        raise TypeError('of a decoder')

    monkeypatch.setattr(PyAVReader, '_read', fail)
    checks = list(map(check_video, [str(videos / 'good.mp4'), str(videos / 'short.mp4')]))
    assert [check.cause for check in checks] == ['damaged'] * 2
    assert 'good.mp4 cannot be used: damaged (TypeError: of a decoder)' in checks[0].message
    with pytest.raises(UserError, match='opencv'):  # no fault of the video
        check_video(str(videos / 'good.mp4'), backend='opencv')
