"""make_moving_digits.py: all or nothing, never over other data, nothing when it is done."""

import json

import pytest

from tests.tools.command_line import call_tool
from transmamba_mm.datasets import MovingDigits
from transmamba_mm.datasets.make_moving_digits import SETTINGS, make_moving_digits
from transmamba_mm.datasets.video import open_video
from transmamba_mm.errors import UserError

TOOL = 'datasets/make_moving_digits.py'
COUNTS = {'train': 5, 'val': 2, 'test': 3}


def make(out, seed: int = 0, overwrite: bool = False, **counts: int) -> int:
    return len(list(make_moving_digits(out, {**COUNTS, **counts}, seed, overwrite)))


def content(folder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def test_tool_makes_a_data_set_once(tmp_path):
    command = [TOOL, '--train', '5', '--val', '2', '--test', '3']
    done = call_tool(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'Made 10 videos in data/moving_digits' in done.stdout
    made = content(tmp_path)
    again = call_tool(*command, cwd=tmp_path)
    assert again.returncode == 0 and 'Nothing to do' in again.stdout
    assert content(tmp_path) == made

    root = tmp_path / 'data/moving_digits'
    train, test = (MovingDigits(split, data_root=str(root)) for split in ('train', 'test'))
    assert len({train[i]['video_id'] for i in range(len(train))}) == 5
    assert len(test) == 3
    with open_video(test[0]['video_path']) as video:
        assert (len(video), round(video.fps, 3), video.shape) == (16, 8, (64, 64))


def test_same_arguments_give_the_same_bytes(tmp_path):
    for name in 'ab':
        assert make(tmp_path / name, seed=7) == 10
    assert content(tmp_path / 'a') == content(tmp_path / 'b')
    assert make(tmp_path / 'c', seed=8) == 10
    video = 'train/videos/00000.mp4'
    assert content(tmp_path / 'a')[video] != content(tmp_path / 'c')[video]


def test_overwrite_replaces_moving_digits_and_nothing_else(tmp_path):
    out = tmp_path / 'digits'
    make(out)
    made = content(out)
    with pytest.raises(UserError, match=r'other settings .*--overwrite'):
        make(out, seed=1)
    assert content(out) == made
    assert make(out, train=4, overwrite=True) == 9
    assert len(list((out / 'train/videos').iterdir())) == 4
    foreign = tmp_path / 'photographs'
    foreign.mkdir()
    (foreign / 'a.jpg').write_text('precious')
    with pytest.raises(UserError, match='choose another --out'):
        make(foreign, overwrite=True)
    assert content(foreign) == {'a.jpg': b'precious'}


def test_what_is_interrupted_leaves_nothing(tmp_path):
    videos = make_moving_digits(tmp_path / 'digits', COUNTS)
    for _ in range(3):
        next(videos)
    videos.close()  # what ctrl-C does
    assert list(tmp_path.iterdir()) == []


def test_a_part_is_distinguished_from_the_whole(tmp_path):
    make(tmp_path / 'digits')
    (tmp_path / 'digits/test/videos/00001.mp4').unlink()
    with pytest.raises(UserError, match='only a part'):
        make(tmp_path / 'digits')
    assert make(tmp_path / 'digits', overwrite=True) == 10
    settings = json.loads((tmp_path / 'digits' / SETTINGS).read_text())
    assert settings['counts'] == COUNTS


def test_too_many_test_videos(tmp_path):
    with pytest.raises(UserError, match=r'481.*test'):
        make(tmp_path / 'digits', test=481)
    assert list(tmp_path.iterdir()) == []
