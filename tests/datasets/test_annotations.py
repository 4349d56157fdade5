"""Reading any annotation file ends in data or in one message with its name."""

import json
import os
import shutil
import signal
import tracemalloc
from pathlib import Path

import pytest
from PIL import Image

from tests.datasets.retrieval.layouts import (
    items,
    write_didemo,
    write_lines,
    write_msrvtt,
    write_videos,
)
from transmamba_mm.datasets import MSRVTT, DiDeMo, LlavaInstruct, VideoCaptions
from transmamba_mm.datasets.retrieval import MovingDigitsCls
from transmamba_mm.datasets.video.check_videos import check_video
from transmamba_mm.datasets.video.find_videos import find_videos
from transmamba_mm.errors import UserError


def listed(name):
    return lambda root: [check_video(path) for path in find_videos([str(root / name)])]


#: File, and what reads it.
READERS = {
    'captions.jsonl': lambda root: VideoCaptions(data_root=str(root)),
    'msrvtt/MSRVTT_data.json': lambda root: MSRVTT('train', data_root=str(root / 'msrvtt')),
    'msrvtt/./MSRVTT_data.json': lambda root: MSRVTT('val', 'full', str(root / 'msrvtt')),
    'msrvtt/MSRVTT_train.9k.csv': lambda root: MSRVTT('train', data_root=str(root / 'msrvtt')),
    'msrvtt/MSRVTT_JSFUSION_test.csv': lambda root: MSRVTT('test', data_root=str(root / 'msrvtt')),
    'didemo/train_data.json': lambda root: DiDeMo('train', data_root=str(root / 'didemo')),
    'didemo/train_list.txt': lambda root: DiDeMo('train', data_root=str(root / 'didemo')),
    'chat.json': lambda root: LlavaInstruct(
        'chat.json', data_root=str(root), data_prefix={'img_path': ''}
    ),
    'train/captions.jsonl': lambda root: MovingDigitsCls('train', str(root)),
    **{f'list.{suffix}': listed(f'list.{suffix}') for suffix in ('txt', 'csv', 'json', 'jsonl')},
}
CONTENTS = {
    'nested arrays': b'[' * 200_000,
    'nested objects': b'{"video":' * 200_000,
    'nested and whole': b'[' * 900 + b'"a"' + b']' * 900,
    'NUL bytes': bytes(1000),
    'null': b'null',
    'a number': b'5',
    'a text': b'"x"',
    'an empty list': b'[]',
    'an empty object': b'{}',
    'a list of anything': b'[1, "a", [3], null, {}, {"video": 3, "video_id": {}}]',
    'nothing': b'',
}
CHANGES = {
    'UTF-16': lambda text: text.decode().encode('utf-16'),
    'Latin-1': lambda text: text + b'\xe9\n',
    'a NUL in names': lambda text: text.replace(b'a', b'\0').replace(b'video0', b'\\u0000'),
    'an escaped NUL': lambda text: text.replace(b'.mp4', b'\\u0000.mp4').replace(b'i.', b'\\u0000'),
    'half of a pair': lambda text: text.replace(b'a', b'\\ud800').replace(b'o0', b'\\ud800'),
    'names that are lists': lambda text: text.replace(b'"video0"', b'["a"]').replace(
        b'"a.mp4"', b'["a"]'
    ),
    'names that are huge numbers': lambda text: text.replace(b'"a.mp4"', b'1' * 9999).replace(
        b'"video0"', b'1' * 9999
    ),
    'a cut': lambda text: text[: len(text) * 2 // 3],
    'keys twice': lambda text: (
        text.replace(b'"video', b'"video_id":"q","video')
        .replace(b'video_id\n', b'video_id,video_id\n')
        .replace(b'key,', b'video_id,')
    ),
    'a long line': lambda text: text + b'x' * 200_000 + b'\n',
    'a comma without quotes': lambda text: text + b'ret2,m,video2,a, b, c\n',
    'a short row': lambda text: text + b'ret2\n',
}


@pytest.fixture(scope='module')
def published(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('published')
    write_videos(root / 'videos', 'a.mp4', 'b.mp4')
    lines = [{'video': f'{name}.mp4', 'caption': name} for name in ('a', 'b')]
    write_lines(root / 'captions.jsonl', *lines)
    write_videos(root / 'train' / 'videos', 'a.mp4', 'b.mp4')
    meant = [{**line, 'meaning': 'large seven moves left'} for line in lines]
    write_lines(root / 'train' / 'captions.jsonl', *meant)
    Image.new('RGB', (8, 8)).save(root / 'i.png')
    turns = [{'from': 'human', 'value': '<image> a?'}, {'from': 'gpt', 'value': 'a'}]
    (root / 'chat.json').write_text(json.dumps([{'image': 'i.png', 'conversations': turns}] * 2))
    write_msrvtt(root / 'msrvtt')
    write_didemo(root / 'didemo')
    write_lines(root / 'list.jsonl', *({'video': f'videos/{name}.mp4'} for name in 'ab'))
    (root / 'list.json').write_text('[{"video": "videos/a.mp4"}, {"video": "videos/b.mp4"}]')
    (root / 'list.csv').write_text('video\nvideos/a.mp4\nvideos/b.mp4\n')
    (root / 'list.txt').write_text('videos/a.mp4\nvideos/b.mp4\n')
    return root


@pytest.fixture
def root(published, tmp_path) -> Path:
    return shutil.copytree(published, tmp_path / 'root')


def too_long(*_):
    raise TimeoutError('a reader waits for a pipe')


@pytest.fixture(autouse=True)
def in_time():
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(100)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def dangling(file: Path) -> None:
    file.unlink()
    file.symlink_to('nowhere')


FAULTS = {
    **{name: lambda file, data=data: file.write_bytes(data) for name, data in CONTENTS.items()},
    **{
        name: lambda file, change=change: file.write_bytes(change(file.read_bytes()))
        for name, change in CHANGES.items()
    },
    **{'a pipe': pipe, 'a folder': folder, 'a dangling link': dangling},
}


@pytest.mark.parametrize('name', READERS)
def test_every_fault_ends_in_data_or_a_message(root, name):
    file = root / name
    whole, read = file.read_bytes(), READERS[name]
    assert len(read(root))
    for fault, spoil in FAULTS.items():
        spoil(file)
        try:
            assert len(read(root)), fault
        except UserError as error:
            assert str(file.parent) in str(error), (fault, str(error))
        finally:
            shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
            file.write_bytes(whole)


def test_a_line_of_a_gigabyte_is_left_out_and_costs_no_memory(root):
    file = root / 'captions.jsonl'
    with file.open('r+b') as opened:
        opened.seek(0, os.SEEK_END)
        opened.seek(10**9, os.SEEK_CUR)  # a hole, so that the disk is spared
        opened.write(b'\n{"video": "a.mp4", "caption": "the last"}\n')
    tracemalloc.start()
    captions = [item['text'] for item in items(VideoCaptions(data_root=str(root)))]
    assert tracemalloc.get_traced_memory()[1] < 10**8
    tracemalloc.stop()
    assert captions == ['a', 'the last', 'b']


@pytest.mark.parametrize('name', ['chat.json', 'msrvtt/MSRVTT_data.json', 'list.json'])
def test_a_file_that_is_too_large_is_named(root, name):
    os.truncate(root / name, 5 * 10**9)
    with pytest.raises(UserError, match=r'json has 5,000,000,000 bytes'):
        READERS[name](root)


@pytest.mark.parametrize('row', ['ret9,m,video1,a man, a boat', 'ret9', 'ret9,m,,a boat'])
def test_a_row_that_does_not_fit_is_left_out_and_not_guessed(root, row):
    file = root / 'msrvtt' / 'MSRVTT_JSFUSION_test.csv'
    before = items(MSRVTT('test', data_root=str(root / 'msrvtt')))
    file.write_text(f'{file.read_text()}{row}\n')
    assert items(MSRVTT('test', data_root=str(root / 'msrvtt'))) == before
    with pytest.raises(UserError, match='line 4'):
        MSRVTT('test', data_root=str(root / 'msrvtt'), on_bad='raise')
