"""Search: the model's own ranking, and an index that never does work twice nor trusts another's."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from PIL import Image

from tests.apis.search_run import PIPELINE, write_run
from tests.datasets.video.clips import bad_videos, turn, write_clip, write_frames
from tests.models.retrieval.small_retrieval import VIM
from transmamba_mm.apis.contact_sheet import draw_hits
from transmamba_mm.apis.search_videos import Hit, VideoSearch
from transmamba_mm.apis.video_clips import VideoClips, video_pipeline
from transmamba_mm.datasets import DecodeVideo
from transmamba_mm.datasets.video import open_video
from transmamba_mm.errors import UserError
from transmamba_mm.registry import MODELS

TEXTS = ['a seven moves left', 'two']


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp('runs') / 'run')


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    """Eleven videos that differ in length, in two folders, and a folder of frames."""
    folder = tmp_path_factory.mktemp('clips')
    (folder / 'sub').mkdir()
    for i in range(11):
        write_clip(folder / ('sub' if i % 2 else '') / f'{i}.mp4', 3 + 2 * i)
    write_frames(folder / 'frames', 9)
    return folder


@pytest.fixture
def videos(clips, tmp_path):
    shutil.copytree(clips, tmp_path / 'videos')
    return tmp_path / 'videos'


@pytest.fixture
def search(work_dir):
    return VideoSearch(str(work_dir), device='cpu')


def opened(report):
    return sorted(check.path for check in report.checks)


def paths_of(search):
    """Every video that can be found."""
    return sorted(hit.path for hit in search(['a'], 999)[0])


def flat(found):
    return [(hit.path, pytest.approx(hit.score, abs=1e-5)) for hits in found for hit in hits]


@torch.no_grad()
def test_ranks_as_the_model_does(search, videos, tmp_path):
    report = search.index(videos, tmp_path / 'index')
    paths = opened(report)
    assert len(paths) == 12 and 'frames' in paths and 'sub/1.mp4' in paths
    clips, masks = [], []
    for path in paths:
        with open_video(str(videos / path)) as video:
            count = len(video)
            places = [
                min(int((i + 0.5) * count / 4) if count > 4 else i, count - 1) for i in range(4)
            ]
            frames = torch.tensor(video.read(places, 8))[:, :, 4:12]  # the middle of 8 x 16
        clips.append((frames.permute(3, 0, 1, 2) - 120.0) / 60)
        masks.append(torch.arange(4) < count)
    embeddings = search.model.encode_video(torch.stack(clips), torch.stack(masks))
    expected = search.model.encode_text(TEXTS) @ embeddings.T
    for row, hits in zip(expected, search(TEXTS, 12), strict=True):
        for hit in hits:
            assert hit.score == pytest.approx(float(row[paths.index(hit.path)]), abs=1e-5)
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True) and scores[0] > scores[-1] + 1e-4
    assert flat(search(TEXTS, 3)) == flat([hits[:3] for hits in search(TEXTS, 99)])


def test_only_what_is_new_or_changed_is_embedded(search, work_dir, videos, tmp_path):
    file = tmp_path / 'index'
    search.index(videos, file)
    again = search.index(videos, file)
    assert (len(again.checks), again.kept, again.gone) == (0, 12, 0)
    write_clip(videos / '0.mp4', 24)
    os.utime(videos / '2.mp4', ns=(1, 1))
    (videos / 'frames' / 'frame3.png').unlink()
    (videos / 'sub/1.mp4').unlink()
    write_clip(videos / 'new.mp4', 5)
    changed = search.index(videos, file)
    assert opened(changed) == ['0.mp4', '2.mp4', 'frames', 'new.mp4']
    assert (changed.kept, changed.gone) == (8, 1)
    # What is kept and what is new rank together, as if all were new.
    fresh = VideoSearch(str(work_dir), device='cpu')
    fresh.index(videos, tmp_path / 'other')
    assert flat(search(TEXTS, 12)) == flat(fresh(TEXTS, 12))
    assert 'sub/1.mp4' not in paths_of(search)


def stop_after(count, stop):
    """A callback that stops the work at a video, and the list of those reached."""
    seen = []

    def on_video(check, total):
        assert total == 12
        seen.append(check.path)
        if len(seen) == count:
            stop()

    return on_video, seen


def test_an_interrupted_run_goes_on(search, videos, tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    on_video, seen = stop_after(10, interrupt)
    with pytest.raises(KeyboardInterrupt):
        search.index(videos, tmp_path / 'index', on_video=on_video)
    rest = search.index(videos, tmp_path / 'index')
    assert rest.kept == 10
    assert sorted(seen + opened(rest)) == paths_of(search)


KILLED = """
import os, sys
from tests.apis.test_search_videos import stop_after
from transmamba_mm.apis.search_videos import Hit, VideoSearch

on_video, _ = stop_after(10, lambda: os._exit(9))
VideoSearch(sys.argv[1], device='cpu').index(*sys.argv[2:], save_every=4, on_video=on_video)
"""


def test_a_killed_run_goes_on_where_it_was_saved(search, work_dir, videos, tmp_path):
    file = tmp_path / 'index'
    command = [sys.executable, '-c', KILLED, work_dir, videos, file]
    assert subprocess.run(list(map(str, command))).returncode == 9
    rest = search.index(videos, file)  # a batch of eight was embedded, and saved
    assert (rest.kept, len(rest.checks)) == (8, 4)
    assert len(paths_of(search)) == 12


def test_unreadable_videos_are_left_out_and_named_by_cause(search, videos, tmp_path):
    bad = bad_videos(videos)
    del bad['missing']
    report = search.index(videos, tmp_path / 'index', jobs=1)
    assert {c.path: c.cause for c in report.checks if c.cause} == {
        file.name: cause for cause, file in bad.items()
    }
    assert len(search(TEXTS, 99)[0]) == 12
    write_clip(bad['empty'], 6)  # mended
    again = search.index(videos, tmp_path / 'index')
    assert len(again.checks) == len(bad) and len(search(TEXTS, 99)[0]) == 13


def test_an_index_of_another_model_is_refused(search, videos, tmp_path):
    file = tmp_path / 'index'
    search.index(videos, file)
    other = VideoSearch(str(write_run(tmp_path / 'other', seed=1)), device='cpu')
    with pytest.raises(UserError, match='other weights'):
        other.index(videos, file)
    steps = [{**step, 'num_frames': 3} if 'num_frames' in step else step for step in PIPELINE]
    shorter = VideoSearch(str(write_run(tmp_path / 'shorter', pipeline=steps)), device='cpu')
    with pytest.raises(UserError, match='another test pipeline'):
        shorter.index(videos, file)
    assert len(other.index(videos, file, rebuild=True).checks) == 12
    # The same weights in another place are the same model.
    same = VideoSearch(str(write_run(tmp_path / 'same', seed=1)), device='cpu')
    assert same.index(videos, file).kept == 12


def test_an_index_of_other_videos_or_of_nothing_is_refused(search, videos, tmp_path):
    search.index(videos, tmp_path / 'index')
    (tmp_path / 'elsewhere').mkdir()
    write_clip(tmp_path / 'elsewhere' / 'a.mp4', 5)
    with pytest.raises(UserError, match='index of other videos'):
        search.index(tmp_path / 'elsewhere', tmp_path / 'index')
    (tmp_path / 'text').write_text('no index')
    with pytest.raises(UserError, match='is no index of videos'):
        search.index(videos, tmp_path / 'text')
    assert search.index_file(videos) != search.index_file(tmp_path / 'sub' / 'videos')


def test_what_cannot_be_searched(search, work_dir, tmp_path):
    with pytest.raises(UserError, match='call index'):
        search(TEXTS)
    with pytest.raises(UserError, match='no folder'):
        search.index(tmp_path / 'gone')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='No video was found'):
        search.index(tmp_path / 'empty')
    (tmp_path / 'empty' / 'a.mp4').write_text('<html>')
    with pytest.raises(UserError, match=r'None of the 1 videos .* not a video'):
        search.index(tmp_path / 'empty')
    with pytest.raises(UserError, match='No checkpoint at'):
        VideoSearch(str(tmp_path / 'gone.pth'))
    run = write_run(tmp_path / 'images', pipeline=[{'type': 'LoadImageFromFile'}])
    with pytest.raises(UserError, match='decodes no videos'):
        VideoSearch(str(run))
    with pytest.raises(UserError, match="device 'gpu' cannot be used"):
        VideoSearch(str(work_dir), device='gpu')


def test_the_test_data_may_be_several_sets(work_dir):
    cfg = Config.fromfile(work_dir / 'recipe.py')
    plain = video_pipeline(cfg)
    inner = cfg.test_dataloader.dataset
    cfg.test_dataloader.dataset = {'type': 'ConcatDataset', 'datasets': [inner, inner]}
    assert video_pipeline(cfg) == plain


def test_texts_and_tops_that_make_no_sense(search, videos, tmp_path):
    search.index(videos, tmp_path / 'index')
    with pytest.raises(UserError, match='is empty'):
        search(['a seven', ' '])
    with pytest.raises(UserError, match=r"'seven \\udcff' is not valid UTF-8 text"):
        search(['a seven', 'seven \udcff'])
    with pytest.raises(UserError, match='top=0'):
        search(TEXTS, top=0)


def test_a_model_that_retrieves_nothing(tmp_path):
    cfg = Config.fromfile('configs/teachers/deit-nano_digits.py')
    cfg.dump(str(tmp_path / 'recipe.py'))
    torch.save({'state_dict': MODELS.build(cfg.model).state_dict()}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match='retrieves no videos'):
        VideoSearch(str(tmp_path / 'a.pth'), str(tmp_path / 'recipe.py'))


@torch.no_grad()
def test_a_re_ranker_puts_the_nearest_into_its_order(videos, tmp_path):
    vision = {**VIM, 'out_type': 'featmap'}
    run = write_run(tmp_path / 'run', vision=vision, rerank={'top_k': 9, 'grid': None})
    search = VideoSearch(str(run), device='cpu')
    search.index(videos)
    towers = VideoSearch(str(run), device='cpu')
    towers.index(videos)
    patches = {}
    for paths in (search._index.paths[:8], search._index.paths[8:]):
        clips = VideoClips(str(videos), paths, search._videos.steps)
        found = search._videos.run([clips[i][1] for i in range(len(paths))])
        patches |= {path: [sample.patches] for path, sample in zip(paths, found, strict=True)}
    search.model.reranker.head.weight.mul_(50)
    towers.model.reranker = None
    for text, near, hits in zip(TEXTS, towers(TEXTS, 12), search(TEXTS, 12), strict=True):
        first, rest = hits[:9], hits[9:]
        assert {hit.path for hit in first} == {hit.path for hit in near[:9]}
        assert [(hit.path, hit.match) for hit in rest] == [(hit.path, None) for hit in near[9:]]
        scores = [float(search.model.match(patches[hit.path], [text])) for hit in first]
        assert [hit.match for hit in first] == pytest.approx(scores, abs=1e-3)
        assert scores == sorted(scores, reverse=True)
        assert [hit.path for hit in first] != [hit.path for hit in near[:9]]
    assert flat(search(TEXTS, 2)) == flat([hits[:2] for hits in search(TEXTS, 12)])


def test_videos_of_several_shapes_without_a_crop(videos, tmp_path):
    steps = [step for step in PIPELINE if step['type'] != 'CenterCropClip']
    write_clip(videos / 'wide.mp4', 6, width=96)  # 8 x 24 pixels among 8 x 16
    search = VideoSearch(str(write_run(tmp_path / 'run', pipeline=steps)), device='cpu')
    assert len(search.index(videos).checks) == 13
    alone = VideoSearch(str(tmp_path / 'run'), device='cpu')
    (tmp_path / 'alone').mkdir()
    shutil.copy(videos / 'wide.mp4', tmp_path / 'alone')
    alone.index(tmp_path / 'alone')
    (expected,) = alone(['two'])[0]
    assert flat([[hit for hit in search(['two'], 13)[0] if hit.path == 'wide.mp4']]) == flat(
        [[expected]]
    )


def test_a_crop_larger_than_the_videos_enlarges_them(tmp_path, videos):
    steps = [
        {**step, 'size': 16} if step['type'] == 'CenterCropClip' else step for step in PIPELINE
    ]
    search = VideoSearch(str(write_run(tmp_path / 'run', pipeline=steps)), device='cpu')
    assert not any(check.cause for check in search.index(videos, jobs=1).checks)
    assert shapes_of(search, videos) == {(3, 4, 16, 16)}


def shapes_of(search, folder):
    """Shapes of the clips that the model gets."""
    clips = VideoClips(str(folder), search._index.paths, search._videos.steps)
    return {tuple(clip['inputs'].shape) for _, clip in (clips[i] for i in range(len(clips)))}


@pytest.mark.parametrize('size', [8, None], ids=['short side', 'as stored'])
def test_videos_of_any_shape_become_what_the_model_was_trained_on(tmp_path, size):
    videos = tmp_path / 'videos'
    videos.mkdir()
    for name, width in (('narrow', 16), ('wide', 640), ('square', 32), ('band', 2000)):
        write_clip(videos / f'{name}.mp4', 6, width=width)
    turn(write_clip(videos / 'phone.mp4', 6, width=96))
    for name, shape in (('small', (48, 64)), ('pixel', (1, 1)), ('photo', (200, 300))):
        (videos / name).mkdir()
        for i in range(5):
            Image.new('RGB', shape[::-1], (40 * i, 90, 20)).save(videos / name / f'{i}.png')
    steps = [{'type': 'DecodeVideo', 'num_frames': 4, 'size': size}, {'type': 'PackClip'}]
    search = VideoSearch(str(write_run(tmp_path / 'run', pipeline=steps)), device='cpu')
    report = search.index(videos)
    assert [check.cause for check in report.checks] == [''] * 8
    assert shapes_of(search, videos) == {(3, 4, 8, 8)}
    assert len(search(TEXTS, 99)[0]) == 8


def test_one_bad_file_never_ends_a_search(search, videos, tmp_path, monkeypatch):
    (videos / 'link.mp4').symlink_to(videos / 'nowhere.mp4')
    (videos / 'frames' / 'frame99.png').symlink_to(videos / 'nowhere.png')
    fail, whole = videos / '0.mp4', DecodeVideo._decode

    def decode(self, path):
        if path == str(fail):  # what no decoder here does, and the next release might
            raise ZeroDivisionError('a frame rate of 0')
        return whole(self, path)

    monkeypatch.setattr(DecodeVideo, '_decode', decode)
    report = search.index(videos, tmp_path / 'index')
    bad = {check.path: check.message for check in report.checks if check.cause}
    assert set(bad) == {'link.mp4', '0.mp4'} and 'ZeroDivisionError' in bad['0.mp4']
    assert len(search(TEXTS, 99)[0]) == 11


def test_a_video_that_is_gone_is_not_ranked_again(videos, tmp_path):
    vision = {**VIM, 'out_type': 'featmap'}
    run = write_run(tmp_path / 'run', vision=vision, rerank={'top_k': 9, 'grid': None})
    search = VideoSearch(str(run), device='cpu')
    search.index(videos)
    first = search(['two'], 3)[0][0].path
    shutil.rmtree(videos / first) if first == 'frames' else (videos / first).unlink()
    hits = search(['two'], 99)[0]
    assert first not in [hit.path for hit in hits] and len(hits) == 11
    draw_hits({'two': [Hit(first, 0.5), *hits[:1]]}, videos, tmp_path / 'sheet.png')
    assert (tmp_path / 'sheet.png').is_file()
