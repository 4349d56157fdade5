"""DecodeVideo and the steps after it, as a data loader with workers runs them."""

import logging

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, pseudo_collate, worker_init_fn
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from tests.datasets.video.clips import (
    bad_videos,
    number_of,
    turn,
    write_clip,
    write_frames,
)
from transmamba_mm.datasets import (
    CenterCropClip,
    DecodeVideo,
    PackClip,
    RandomFlipClip,
    RandomResizedCropClip,
    ResizeClip,
)
from transmamba_mm.datasets.video import VideoError
from transmamba_mm.errors import UserError


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('transmamba_mm')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('clips')
    for index in range(4):
        write_clip(folder / f'{index}.mp4', frames=12 + index)
    write_frames(folder / 'frames')
    return folder


@pytest.fixture(scope='module')
def bad(tmp_path_factory):
    return bad_videos(tmp_path_factory.mktemp('bad'))


@pytest.fixture
def warnings(caplog):
    """Warnings of our logger: mmengine's logger does not propagate to the root."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield lambda: [line.getMessage() for line in caplog.records if line.levelno == logging.WARNING]
    logger.removeHandler(caplog.handler)


class Videos(BaseDataset):
    """Captioned videos, as our data sets give them."""

    def __init__(self, paths, *steps: dict, **options) -> None:
        self.paths = list(map(str, paths))
        super().__init__(pipeline=list(steps), **options)

    def load_data_list(self):
        return [
            {
                'video_path': path,
                'video_id': f'video{i}',
                'text': f'clip {i} moves left',
                'caption_id': i,
            }
            for i, path in enumerate(self.paths)
        ]


def loader(dataset, workers: int = 2, **options) -> DataLoader:
    def init(worker: int) -> None:
        worker_init_fn(worker, workers, 0, seed=7)

    return DataLoader(
        dataset,
        num_workers=workers,
        collate_fn=pseudo_collate,
        worker_init_fn=init,
        multiprocessing_context='fork' if workers else None,
        **options,
    )


def paths(folder) -> list:
    return [*sorted(folder.glob('*.mp4')), folder / 'frames']


def test_adds_the_documented_keys(folder):
    path = str(folder / '2.mp4')
    result = DecodeVideo(4, size=16)({'video_path': path, 'text': 'kept'})
    assert [number_of(frame) for frame in result['clip']] == [1, 5, 8, 12]
    assert result['frame_indices'].tolist() == [1, 5, 8, 12]
    assert result['img_shape'] == (16, 32) and result['ori_shape'] == (32, 64)
    assert result['frame_mask'].all() and result['is_missing'] is False and result['text'] == 'kept'


@pytest.mark.parametrize('backend', ['decord', 'pyav', 'auto'])
def test_more_frames_than_there_are(folder, backend):
    for path, real in ((folder / '0.mp4', 12), (folder / 'frames', 12)):
        result = DecodeVideo(16, backend=backend)({'video_path': str(path)})
        assert [number_of(frame) for frame in result['clip']] == [*range(12), 11, 11, 11, 11]
        assert result['frame_mask'].tolist() == [True] * real + [False] * (16 - real)


@pytest.mark.parametrize('backend', ['decord', 'pyav'])
def test_workers_give_what_one_process_gives(folder, backend):
    steps = [
        {'type': 'DecodeVideo', 'num_frames': 4, 'size': 16, 'backend': backend},
        {'type': 'CenterCropClip', 'size': 16},
        {'type': 'PackClip'},
    ]
    dataset = Videos(paths(folder), *steps)
    alone = [dataset[i] for i in range(len(dataset))]  # also: decord was used before the fork
    batches = list(loader(dataset, batch_size=5))
    assert torch.equal(torch.stack(batches[0]['inputs']), torch.stack([x['inputs'] for x in alone]))


def test_random_frames_differ_from_epoch_to_epoch_in_workers(folder):
    steps = [{'type': 'DecodeVideo', 'num_frames': 3, 'sampling': 'random'}, {'type': 'PackClip'}]
    data = loader(Videos(paths(folder)[:4], *steps), batch_size=4, persistent_workers=True)
    epochs = [
        [tuple(sample.frame_indices) for batch in data for sample in batch['data_samples']]
        for _ in range(3)
    ]
    assert len(set(map(tuple, epochs))) == 3


def test_packed_item(folder):
    steps = [{'type': 'DecodeVideo', 'num_frames': 14, 'size': (20, 30)}, {'type': 'PackClip'}]
    packed = Videos(paths(folder), *steps)[1]
    assert packed['inputs'].shape == (3, 14, 20, 30) and packed['inputs'].dtype == torch.uint8
    assert packed['inputs'].is_contiguous()
    sample = packed['data_samples']
    assert sample.text == 'clip 1 moves left' and 'text' in sample.keys()  # noqa: SIM118
    assert sample.frame_mask.tolist() == [True] * 13 + [False]
    meta = sample.metainfo
    assert meta['video_id'] == 'video1' and meta['caption_id'] == 1 and meta['is_missing'] is False
    assert meta['video_path'] == str(folder / '1.mp4') and meta['ori_shape'] == (32, 64)


@pytest.mark.parametrize('workers', [0, 2])
def test_bad_videos_are_replaced_and_counted_in_training(folder, bad, workers, warnings):
    good = paths(folder)
    decode = {'type': 'DecodeVideo', 'num_frames': 2, 'size': (16, 16)}
    dataset = Videos([*good, *bad.values()], decode, {'type': 'PackClip'})
    data = loader(dataset, workers, batch_size=4)
    for epoch in (1, 2):
        samples = [sample for batch in data for sample in batch['data_samples']]
        assert len(samples) == len(good) + len(bad)
        assert {sample.video_path for sample in samples} <= set(map(str, good))
        assert dataset.pipeline.transforms[0].skipped.total >= epoch * len(bad)
    if not workers:
        assert 0 < len(warnings()) <= 5
        assert all('It is skipped' in text for text in warnings())


def test_bad_videos_keep_their_place_in_testing(folder, bad):
    decode = {'type': 'DecodeVideo', 'num_frames': 3, 'size': 16, 'on_bad': 'mark'}
    steps = [decode, {'type': 'CenterCropClip', 'size': 16}, {'type': 'PackClip'}]
    files = [paths(folder)[0], *bad.values(), paths(folder)[1]]
    dataset = Videos(files, *steps, test_mode=True)
    missing = [item for batch in loader(dataset) for item in zip(*batch.values(), strict=True)]
    assert [sample.is_missing for _, sample in missing] == [False, *[True] * len(bad), False]
    for clip, sample in missing[1:-1]:
        assert clip.shape == (3, 3, 16, 16) and not clip.any()
        assert sample.frame_mask.tolist() == [True, False, False]
    assert dataset.pipeline.transforms[0].skipped.total == len(bad)


@pytest.mark.parametrize('cached', [False, True])
def test_bad_videos_raise_on_request(bad, tmp_path, cached):
    cache = {'dir': str(tmp_path), 'max_gb': 1} if cached else None
    step = DecodeVideo(24, on_bad='raise', cache=cache)
    for cause, path in bad.items():
        with pytest.raises(VideoError) as caught:
            step({'video_path': str(path)})
        assert caught.value.cause == cause
    assert not list(tmp_path.glob('*/*'))


@pytest.mark.parametrize('cached', [False, True])
@pytest.mark.parametrize('backend', ['auto', 'decord', 'frames'])
@pytest.mark.parametrize('path', [['a.mp4'], None, {'path': 'a.mp4'}, 5, b'a.mp4', '', 'a\0.mp4'])
def test_what_is_no_path_is_a_bad_item(tmp_path, path, backend, cached):
    cache = {'dir': str(tmp_path), 'max_gb': 1} if cached else None
    options = {'backend': backend, 'size': 16, 'cache': cache}
    item = {'video_path': path}
    assert DecodeVideo(2, on_bad='skip', **options)(dict(item)) is None
    assert DecodeVideo(2, on_bad='mark', **options)(dict(item))['is_missing']
    step = DecodeVideo(2, on_bad='raise', **options)
    with pytest.raises(VideoError) as caught:
        step(dict(item))
    assert caught.value.cause == 'missing'
    name, fault = step.quick_check(item)
    assert isinstance(name, str) and 'missing' in fault


def test_a_path_may_be_a_path(folder, tmp_path):
    for cache in (None, {'dir': str(tmp_path), 'max_gb': 1}):
        for backend in ('auto', 'decord'):
            step = DecodeVideo(2, backend=backend, cache=cache, on_bad='raise')
            assert step({'video_path': folder / '0.mp4'})['clip'].shape == (2, 32, 64, 3)
    assert step.quick_check({'video_path': folder / '0.mp4'}) == (str(folder / '0.mp4'), '')


@pytest.mark.parametrize(
    ('options', 'word'),
    [
        ({'on_bad': 'ignore'}, "on_bad='ignore'"),
        ({'on_bad': 'mark'}, 'set size'),
        ({'backend': 'cv2'}, "backend='cv2'"),
        ({'size': 0}, 'size=0'),
        ({'size': (1, 2, 3)}, r'size=\(1, 2, 3\)'),
        ({'sampling': 'dense'}, "sampling='dense'"),
    ],
)
def test_mistakes(options, word):
    with pytest.raises(UserError, match=word):
        DecodeVideo(4, **options)


def gradient(frames: int = 3, height: int = 20, width: int = 30) -> dict:
    """A clip whose pixels encode their position and whose frames differ."""
    clip = np.zeros((frames, height, width, 3), np.uint8)
    clip[..., 0] = np.arange(height)[:, None] * 10
    clip[..., 1] = np.arange(width) * 8
    clip[..., 2] = np.arange(frames)[:, None, None] * 50
    return {'clip': clip, 'img_shape': (height, width)}


def test_resize():
    assert ResizeClip(10)(gradient())['clip'].shape == (3, 10, 15, 3)
    result = ResizeClip((40, 60))(gradient())
    assert result['img_shape'] == (40, 60) == result['clip'].shape[1:3]
    assert (result['clip'][..., 2] == np.arange(3)[:, None, None] * 50).all()


def test_center_crop():
    result = CenterCropClip((10, 20))(gradient())
    assert np.array_equal(result['clip'], gradient()['clip'][:, 5:15, 5:25])
    assert result['img_shape'] == (10, 20)
    with pytest.raises(UserError, match='scale them before'):
        CenterCropClip(25)(gradient())


def test_random_resized_crop_is_the_same_of_every_frame():
    np.random.seed(0)
    seen = set()
    for _ in range(10):
        clip = RandomResizedCropClip(12)(gradient())['clip']
        assert clip.shape == (3, 12, 12, 3)
        assert (clip[..., :2] == clip[:1, ..., :2]).all()
        seen.add(clip[0].tobytes())
    assert len(seen) > 5


def test_flip_all_frames_or_none():
    np.random.seed(0)
    plain = gradient()['clip']
    results = [RandomFlipClip()(gradient()) for _ in range(40)]
    for result in results:
        assert np.array_equal(result['clip'], plain[:, :, ::-1] if result['flip'] else plain)
    assert 8 < sum(result['flip'] for result in results) < 32
    assert np.array_equal(RandomFlipClip(prob=0)(gradient())['clip'], plain)
    assert RandomFlipClip(prob=1)(gradient())['flip']
    with pytest.raises(UserError, match=r'prob=.* of RandomFlipClip has to be'):
        RandomFlipClip(prob=2)


def test_packing_keeps_channels_and_time():
    item = {**gradient(), 'frame_mask': np.ones(3, bool), 'gt_label': 4, 'extra': 'e'}
    packed = PackClip(algorithm_keys=['extra'], meta_keys=[])(item)
    assert packed['inputs'][2, :, 0, 0].tolist() == [0, 50, 100]
    assert packed['data_samples'].extra == 'e' and packed['data_samples'].gt_label.item() == 4


def test_turned_video_in_a_pipeline(tmp_path):
    path = str(turn(write_clip(tmp_path / 'turned.mp4')))
    assert DecodeVideo(2, size=16)({'video_path': path})['clip'].shape == (2, 32, 16, 3)
