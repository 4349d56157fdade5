"""MSR-VTT in CLIP4Clip's layout: both partitions, each of their splits."""

import json

import pytest

from tests.datasets.retrieval.layouts import items, write_msrvtt
from transmamba_mm.datasets import MSRVTT
from transmamba_mm.errors import UserError


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_msrvtt(tmp_path_factory.mktemp('msrvtt'))


def read(root, split: str, **kwargs) -> list[dict]:
    return items(MSRVTT(split, data_root=str(root), **kwargs))


def test_training_of_1k_a_has_every_caption_of_the_listed_videos(root):
    train = read(root, 'train')
    expected = [(f'video{i}', f'caption {n} of video {i}') for i in (1, 0, 3, 4) for n in range(3)]
    assert [(item['video_id'], item['text']) for item in train] == expected
    assert train[0]['video_path'] == str(root / 'videos/video1.mp4')
    assert [item['caption_id'] for item in train[:2]] == ['video1#0', 'video1#1']


def test_test_of_1k_a_has_the_one_sentence_of_the_list(root):
    assert [(item['video_id'], item['text']) for item in read(root, 'test')] == [
        ('video5', ['a person, unseen, is connecting something']),
        ('video2', ['a little girl does gymnastics']),
    ]


@pytest.mark.parametrize(('split', 'videos'), [('val', [3]), ('test', [4, 5])])
def test_full_partition_tests_with_all_captions(root, split, videos):
    found = [(item['video_id'], item['text']) for item in read(root, split, partition='full')]
    assert found == [(f'video{i}', [f'caption {n} of video {i}' for n in range(3)]) for i in videos]


def test_full_partition_trains_on_its_own_videos(root):
    train = read(root, 'train', partition='full')
    assert [item['video_id'] for item in train] == [f'video{i}' for i in (0, 1, 2) for _ in '123']
    thin = read(root, 'train', partition='full', fraction=0.34)
    assert len(thin) == 3 and all(item in train for item in thin)


def test_suffixes_select_the_file_of_a_video(tmp_path):
    root = write_msrvtt(tmp_path)
    (root / 'videos/video5.mp4').rename(root / 'videos/video5.webm')
    assert read(root, 'test')[0]['video_path'].endswith('video5.webm')
    only = read(root, 'test', suffixes=['.mp4'])
    assert only[0]['video_path'].endswith('video5.mp4')  # a hole, that keeps its place
    assert len(only) == 2


def test_sentences_that_are_bad_are_left_out(tmp_path):
    root = write_msrvtt(tmp_path)
    file = root / 'MSRVTT_data.json'
    content = json.loads(file.read_text())
    content['sentences'] += [{'caption': 'of none'}, {'caption': ' ', 'video_id': 'video1'}, 'text']
    file.write_text(json.dumps(content))
    assert len(read(root, 'train')) == 12
    with pytest.raises(UserError, match='2 x a sentence without video_id; 1 x a blank caption'):
        read(root, 'train', on_bad='raise')


@pytest.mark.parametrize(
    ('file', 'text', 'word'),
    [
        ('MSRVTT_data.json', None, r'cannot be read .*msrvtt_data\.zip'),
        ('MSRVTT_data.json', '{"sentences": ', 'not JSON'),
        ('MSRVTT_data.json', '[]', 'holds a list, not the dict'),
        ('MSRVTT_data.json', '{"videos": []}', 'no list of sentences'),
        ('MSRVTT_train.9k.csv', 'name\nvideo0\n', 'no column video_id'),
        ('MSRVTT_train.9k.csv', None, 'cannot be read'),
    ],
)
def test_files_that_are_not_the_published_ones(tmp_path, file, text, word):
    root = write_msrvtt(tmp_path)
    (root / file).unlink()
    if text is not None:
        (root / file).write_text(text)
    with pytest.raises(UserError, match=word):
        read(root, 'train')


def test_splits_that_do_not_exist():
    with pytest.raises(UserError, match=r"split='val' of MSRVTT 1k-A .*train, test"):
        MSRVTT('val')
    with pytest.raises(UserError, match="partition='1k-B'"):
        MSRVTT('test', partition='1k-B')
