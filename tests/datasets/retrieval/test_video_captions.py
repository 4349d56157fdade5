"""VideoCaptions: captions and videos of a folder; bad entries are counted by cause, or missing."""

import re

import pytest
from mmengine.dataset import BaseDataset
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from tests.datasets.retrieval.layouts import items, write_lines, write_videos
from tests.datasets.video.clips import bad_videos, write_clip, write_frames
from transmamba_mm.datasets import VideoCaptions
from transmamba_mm.errors import UserError

PACK = {'type': 'PackClip'}
SCRIPTS = (
    'ein Hund läuft',
    'चलता हुआ कुत्ता',
    'كلب يركض',
    '一只狗在跑',
    'бегущая собака 🐕',
    'cafe\u0301 in the morning',  # not composed, and to be left so
    'two\u2028lines',
)


@pytest.fixture
def warned(caplog):
    """Warnings of the data sets."""
    init_default_scope('transmamba_mm')
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def texts(dataset: BaseDataset) -> list:
    return [item['text'] for item in items(dataset)]


@pytest.fixture
def root(tmp_path):
    """Three videos with captions in both spellings."""
    write_videos(tmp_path / 'videos', 'a.mp4', 'b.mp4', 'c.mp4')
    write_lines(
        tmp_path / 'captions.jsonl',
        {'video': 'a.mp4', 'caption': 'a first'},
        {'video': 'b.mp4', 'captions': ['b first', 'b second']},
        '',
        {'video': 'a.mp4', 'captions': ['a second'], 'note': 'not read'},
        {'video': 'c.mp4', 'caption': 'c first'},
    )
    return tmp_path


def test_training_lists_captions_and_testing_videos(root):
    train = items(VideoCaptions(data_root=str(root)))
    assert [(item['video_id'], item['text'], item['caption_id']) for item in train] == [
        ('a.mp4', 'a first', 'a.mp4#0'),
        ('a.mp4', 'a second', 'a.mp4#1'),
        ('b.mp4', 'b first', 'b.mp4#0'),
        ('b.mp4', 'b second', 'b.mp4#1'),
        ('c.mp4', 'c first', 'c.mp4#0'),
    ]
    assert train[0]['video_path'] == str(root / 'videos/a.mp4')
    test = items(VideoCaptions(data_root=str(root), test_mode=True))
    assert [(item['video_id'], item['text']) for item in test] == [
        ('a.mp4', ['a first', 'a second']),
        ('b.mp4', ['b first', 'b second']),
        ('c.mp4', ['c first']),
    ]
    assert 'caption_id' not in test[0]


def test_equal_meanings_have_equal_caption_ids(tmp_path):
    write_videos(tmp_path / 'videos', 'a.mp4', 'b.mp4')
    lines = [
        {'video': 'a.mp4', 'captions': ['a dog runs', 'running dog'], 'meaning': 'dog running'},
        {'video': 'b.mp4', 'captions': ['the dog is running'], 'meaning': 'dog running'},
    ]
    write_lines(tmp_path / 'captions.jsonl', *lines)
    ids = [item['caption_id'] for item in items(VideoCaptions(data_root=str(tmp_path)))]
    assert ids == ['dog running'] * 3


def test_captions_in_any_script_pass_unharmed(tmp_path):
    write_videos(tmp_path / 'videos', 'видео 1.mp4')
    write_lines(tmp_path / 'captions.jsonl', {'video': 'видео 1.mp4', 'captions': [*SCRIPTS]})
    assert texts(VideoCaptions(data_root=str(tmp_path))) == [*SCRIPTS]
    (tested,) = texts(VideoCaptions(data_root=str(tmp_path), test_mode=True))
    assert tested == [*SCRIPTS]


BAD = [
    ({'video': 'a.mp4', 'caption': ''}, 'a blank caption'),
    ({'video': 'a.mp4', 'caption': ' \t\u3000\u200b'}, 'a blank caption'),
    ({'video': 'a.mp4', 'captions': ['fine', None]}, 'a caption that is not text'),
    ('{"video": "a.mp4", "caption": "half \\ud83d"}', 'a caption that is not Unicode'),
    ({'caption': 'whose?'}, 'names no video'),
    ({'video': 'a.mp4'}, 'has neither a caption nor a list of captions'),
    ({'video': 'a.mp4', 'captions': 'a text'}, 'has neither a caption nor a list of captions'),
    ('["a.mp4", "a text"]', 'names no video'),
    ('{"video": "a.mp4", "caption": "cut', 'not JSON'),
    ('{"video": "a.mp4", "caption": "hôtel"}'.encode('latin-1'), 'not UTF-8'),
    ('{"video": "a.mp4", "caption": "nul \0"}', 'not JSON'),
    ('{"video": "a\\u0000.mp4", "caption": "nul"}', 'a name with a NUL byte'),
    ('{"video": "a\\ud800.mp4", "caption": "half"}', 'a name that is not Unicode'),
    ({'video': 'a' * 300, 'caption': 'long'}, 'a name that is too long for a file'),
    ('{"video": "a.mp4", "caption": "x", "caption": "y"}', "the key 'caption' twice"),
    ({'video': 'a.mp4', 'caption': 'x', 'meaning': ['x']}, 'a meaning that is not text'),
    ('[' * 200_000, 'nested too deep'),
    (
        '{"video": "a.mp4", "caption": ' + '9' * 5000 + '}',
        'Exceeds the limit (4300 digits) for integer string conversion',
    ),
    ('"' + 'x' * 2**24 + '"', 'a line of more than 16 MB'),
]


@pytest.mark.parametrize(('line', 'cause'), BAD, ids=range(len(BAD)))
def test_bad_lines_are_left_out_counted_and_named(tmp_path, warned, line, cause):
    write_videos(tmp_path / 'videos', 'a.mp4', 'b.mp4')
    file = write_lines(tmp_path / 'captions.jsonl', {'video': 'a.mp4', 'caption': 'good'}, line)
    kept = texts(VideoCaptions(data_root=str(tmp_path)))
    assert kept in (['good'], ['good', 'fine'])
    assert f'{file} has bad entries (1): 1 x {cause}' in warned.text
    assert f'The first: line 2: {cause}.' in warned.text
    with pytest.raises(UserError, match=f'{re.escape(cause)}.*on_bad='):
        VideoCaptions(data_root=str(tmp_path), on_bad='raise')


def test_blank_captions_and_the_video_they_leave_without_one(tmp_path, warned):
    write_videos(tmp_path / 'videos', 'a.mp4', 'b.mp4')
    lines = [{'video': 'a.mp4', 'caption': 'good'}, {'video': 'b.mp4', 'captions': ['', ' ']}]
    write_lines(tmp_path / 'captions.jsonl', *lines)
    assert texts(VideoCaptions(data_root=str(tmp_path))) == ['good']
    assert '(3): 2 x a blank caption; 1 x a video without a caption' in warned.text
    assert 'b.mp4: a video without a caption' in warned.text
    # to test, it stays in the gallery that the others are searched in
    assert texts(VideoCaptions(data_root=str(tmp_path), test_mode=True)) == [['good'], []]


def test_fractions_are_nested_and_of_videos(tmp_path):
    names = [f'{i:02}.mp4' for i in range(40)]
    write_videos(tmp_path / 'videos', *names)
    lines = [{'video': name, 'captions': ['x', 'y', 'z']} for name in names]
    write_lines(tmp_path / 'captions.jsonl', *lines)

    def part(fraction: float, seed: int = 0) -> set[str]:
        dataset = VideoCaptions(data_root=str(tmp_path), fraction=fraction, seed=seed)
        chosen = [item['video_id'] for item in items(dataset)]
        assert len(chosen) == 3 * len(set(chosen)) == 3 * round(40 * fraction)
        return set(chosen)

    assert part(0.1) < part(0.25) < part(0.5) < part(1.0)
    assert part(0.25, seed=1) != part(0.25)
    with pytest.raises(UserError, match=r'\(0, 1\]'):
        part(1.5)
    with pytest.raises(UserError, match='test fraction at 1'):
        VideoCaptions(data_root=str(tmp_path), fraction=0.5, test_mode=True)


def test_names_without_suffix_and_folders_of_frames(tmp_path):
    write_videos(tmp_path / 'videos', 'a.mp4', 'b.webm.mp4', 'sub.1.mp4')
    write_frames(tmp_path / 'videos/frames')
    names = ['a', 'a.avi', 'b.webm', 'frames', 'frames.mp4', 'sub.1']
    write_lines(tmp_path / 'captions.jsonl', *({'video': n, 'caption': n} for n in names))
    found = {item['text']: item['video_path'] for item in items(VideoCaptions(data_root=tmp_path))}
    folder = tmp_path / 'videos'
    assert found == {
        'a': str(folder / 'a.mp4'),
        'a.avi': str(folder / 'a.mp4'),
        'b.webm': str(folder / 'b.webm.mp4'),
        'frames': str(folder / 'frames'),
        'frames.mp4': str(folder / 'frames'),
        'sub.1': str(folder / 'sub.1.mp4'),
    }


@pytest.fixture
def damaged(tmp_path):
    """One good video and one for each way to be bad, each with a caption."""
    folder = tmp_path / 'videos'
    folder.mkdir()
    write_clip(folder / 'good.mp4', 6)
    names = ['good.mp4', *(path.name for path in bad_videos(folder).values())]
    write_lines(tmp_path / 'captions.jsonl', *({'video': n, 'caption': n} for n in names))
    return tmp_path, names


def test_training_takes_another_for_a_video_that_cannot_be_read(damaged, warned):
    root, names = damaged
    decode = {'type': 'DecodeVideo', 'num_frames': 4, 'size': 32}
    dataset = VideoCaptions(data_root=str(root), pipeline=[decode, PACK])
    assert len(dataset) == len(names) - 1  # gone.mp4 is known to be missing before
    assert f'{root}/videos/gone.mp4: a missing video' in warned.text
    taken = {dataset[i]['data_samples'].video_id for i in range(len(dataset))}
    assert taken <= {'good.mp4', 'damaged.mp4'}  # the head of the latter plays


def test_testing_keeps_the_place_of_bad_videos_and_the_metric_refuses(damaged, warned):
    root, names = damaged
    decode = {'type': 'DecodeVideo', 'num_frames': 4, 'size': (32, 32), 'on_bad': 'mark'}
    loader = Runner.build_dataloader(
        {
            'batch_size': 4,
            'num_workers': 0,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'collate_fn': {'type': 'default_collate'},
            'dataset': {
                'type': 'VideoCaptions',
                'data_root': str(root),
                'test_mode': True,
                'pipeline': [decode, PACK],
            },
        }
    )
    assert f'{root}/videos/gone.mp4: a missing video' in warned.text
    samples = [sample for batch in loader for sample in batch['data_samples']]
    assert [sample.video_id for sample in samples] == names
    missing = {sample.video_id for sample in samples if sample.is_missing}
    assert missing >= {'gone.mp4', 'empty.mp4', 'truncated.mp4', 'no_video_stream.mp4'}
    assert 'good.mp4' not in missing
    for sample in samples:
        sample.video_embedding = sample.frame_mask.float()
        sample.text_embeddings = sample.frame_mask.float()[None]
    evaluator = Evaluator({'type': 'RetrievalRecall'})
    evaluator.process(samples)
    with pytest.raises(UserError, match=f'{len(missing)} of {len(names)} videos are missing'):
        evaluator.evaluate(len(samples))


def test_more_frames_than_a_video_has(root):
    decode = {'type': 'DecodeVideo', 'num_frames': 9}
    sample = VideoCaptions(data_root=str(root), pipeline=[decode, PACK])[0]
    assert sample['inputs'].shape == (3, 9, 32, 64)
    assert sample['data_samples'].frame_mask.tolist() == [True] * 6 + [False] * 3
    assert sample['data_samples'].text == 'a first'
    assert sample['data_samples'].caption_id == 'a.mp4#0'


def test_nothing_to_read(tmp_path):
    with pytest.raises(UserError, match=r'captions\.jsonl cannot be read .*data_root'):
        VideoCaptions(data_root=str(tmp_path))
    write_lines(tmp_path / 'captions.jsonl', {'video': 'a.mp4', 'caption': ''})
    with pytest.raises(UserError, match=r'has no caption .*line 1: a blank caption'):
        VideoCaptions(data_root=str(tmp_path))
    write_lines(tmp_path / 'captions.jsonl', {'video': 'a.mp4', 'caption': 'fine'})
    for test_mode in (False, True):  # a wrong folder is an error
        with pytest.raises(UserError, match=r'None of the 1 videos .*data_prefix\.video_path'):
            VideoCaptions(data_root=str(tmp_path), test_mode=test_mode)


def test_arguments_that_cannot_be(root):
    with pytest.raises(UserError, match='no video_path'):
        VideoCaptions(data_root=str(root), data_prefix={'img_path': 'videos'})
    with pytest.raises(UserError, match=r'on_bad=.*skip, raise'):
        VideoCaptions(data_root=str(root), on_bad='ignore')
