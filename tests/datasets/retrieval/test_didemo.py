"""DiDeMo as CLIP4Clip reads it: one paragraph a video, videos in any format."""

import json

import pytest

from tests.datasets.retrieval.layouts import items, write_didemo
from transmamba_mm.datasets import DiDeMo
from transmamba_mm.errors import UserError

TRAIN = [
    ('a@N00_1.mov', 'a man waves he turns around.', 'a@N00_1.mp4'),
    ('b@N00_2.avi', 'the dog sits the dog runs away an empty lawn', 'b@N00_2.avi.mp4'),
]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_didemo(tmp_path_factory.mktemp('didemo'))


def test_descriptions_make_a_paragraph_in_the_order_of_the_file(root):
    train = items(DiDeMo('train', data_root=str(root)))
    assert [(item['video_id'], item['text']) for item in train] == [row[:2] for row in TRAIN]
    assert [item['video_path'] for item in train] == [
        str(root / 'videos' / row[2]) for row in TRAIN
    ]
    assert train[1]['caption_id'] == 'b@N00_2.avi#0'


def test_tests_have_one_text_a_video_in_the_order_of_the_list(root):
    test = items(DiDeMo('test', data_root=str(root)))
    assert [(item['video_id'], item['text']) for item in test] == [
        ('c@N00_3.mp4', ['a boat']),
        ('a@N00_1.mov', [TRAIN[0][1]]),
    ]
    assert [item['text'] for item in items(DiDeMo('val', data_root=str(root)))] == [['a boat']]


def test_descriptions_that_are_bad_are_left_out_of_their_paragraph(tmp_path):
    root = write_didemo(tmp_path)
    file = root / 'train_data.json'
    entries = json.loads(file.read_text())
    entries[3]['description'] = ' '
    entries += [{'description': 'of none'}, 'text']
    file.write_text(json.dumps(entries))
    (root / 'train_list.txt').write_text('b@N00_2.avi\nsilent.mp4\n')
    train = items(DiDeMo('train', data_root=str(root)))
    assert [item['text'] for item in train] == ['the dog sits an empty lawn']
    causes = '2 x a description without video; 1 x a blank caption; 1 x a video without a caption'
    with pytest.raises(UserError, match=causes):
        DiDeMo('train', data_root=str(root), on_bad='raise')


def test_files_that_are_missing_or_not_the_published_ones(tmp_path):
    root = write_didemo(tmp_path)
    (root / 'val_data.json').write_text('{}')
    with pytest.raises(UserError, match='holds a dict, not the list'):
        DiDeMo('val', data_root=str(root))
    (root / 'test_list.txt').unlink()
    with pytest.raises(UserError, match=r'test_list\.txt cannot be read .*LocalizingMoments'):
        DiDeMo('test', data_root=str(root))
    with pytest.raises(UserError, match="split='validate'"):
        DiDeMo('validate')
