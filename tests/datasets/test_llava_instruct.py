"""LlavaInstruct: conversations kept as they are, bad entries counted and named, files checked."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from PIL import Image

from transmamba_mm.datasets import LlavaInstruct
from transmamba_mm.errors import UserError
from transmamba_mm.registry import DATASETS


def turns(*texts: str) -> list[dict]:
    """Alternate human and gpt."""
    return [{'from': ('human', 'gpt')[i % 2], 'value': text} for i, text in enumerate(texts)]


GOOD = [
    {
        'id': 'a',
        'image': 'sub/red.png',
        'conversations': turns('<image>\nWhich color?', 'Red. ', 'Sure?', 'Yes.'),
    },
    {'id': 'b', 'image': 'blue.png', 'conversations': turns('And this?\n<image>', 'Blue.')},
]
TEXT = {'id': 't', 'conversations': turns('Say hello.', 'Hello.')}
BAD = {
    'a question without an answer': {'image': 'blue.png', 'conversations': turns('<image>\nWhat?')},
    'an answer without text': {'image': 'blue.png', 'conversations': turns('<image>\nWhat?', ' ')},
    'a question without text': {'image': 'blue.png', 'conversations': turns('<image>\n', 'Blue.')},
    'a missing image': {
        'image': 'gone.png',
        'conversations': turns('<image> What?', 'Blue.'),
    },
    'turns that do not alternate between human and gpt': {
        'image': 'blue.png',
        'conversations': turns('<image> What?', 'Blue.')[::-1],
    },
    'not one <image> for each image': {'conversations': turns('<image> What?', 'Blue.')},
    '<image> in an answer': {'image': 'blue.png', 'conversations': turns('What?', 'Blue <image>.')},
    'no conversation': {'image': 'blue.png'},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / 'images/sub').mkdir(parents=True)
    for name, color in (('sub/red.png', (255, 0, 0)), ('blue.png', (0, 0, 255))):
        Image.new('RGB', (8, 6), color).save(tmp_path / 'images' / name)
    return tmp_path


def read(folder: Path, entries: object, **options) -> LlavaInstruct:
    (folder / 'chat.json').write_text(json.dumps(entries))
    return LlavaInstruct(
        'chat.json', data_root=str(folder), data_prefix={'img_path': 'images'}, **options
    )


@pytest.fixture
def warnings(caplog):
    """Warnings of our logger: mmengine's logger does not propagate to the root."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield lambda: [line.getMessage() for line in caplog.records if line.levelno == logging.WARNING]
    logger.removeHandler(caplog.handler)


def test_items_keep_the_conversation(folder, warnings):
    dataset = read(folder, GOOD)
    assert len(dataset) == 2
    item = dataset.get_data_info(0)
    assert item['conversation'] == turns('<image>\nWhich color?', 'Red.', 'Sure?', 'Yes.')
    assert item['question_id'] == 'a'
    assert Path(item['img_path']) == folder / 'images/sub/red.png'
    assert not warnings()


def test_registered_and_packed(folder):
    init_default_scope('transmamba_mm')
    read(folder, GOOD)
    keys = {'algorithm_keys': ['conversation', 'question_id']}
    dataset = DATASETS.build(
        {
            'type': 'LlavaInstruct',
            'ann_file': 'chat.json',
            'data_root': str(folder),
            'data_prefix': {'img_path': 'images'},
            'pipeline': [{'type': 'LoadImageFromFile'}, {'type': 'PackInputs', **keys}],
        }
    )
    packed = dataset[1]
    assert np.array_equal(packed['inputs'][:, 0, 0], [255, 0, 0])  # blue, in OpenCV's order
    assert packed['data_samples'].conversation[1] == {'from': 'gpt', 'value': 'Blue.'}


def test_text_only_is_a_choice(folder, warnings):
    null = {**TEXT, 'image': None}
    assert len(read(folder, [*GOOD, TEXT, null])) == 2
    kept = read(folder, [*GOOD, TEXT, null], text_only=True)
    assert len(kept) == 4
    assert 'img_path' not in kept.get_data_info(2)
    assert not warnings()


@pytest.mark.parametrize(('cause', 'entry'), BAD.items(), ids=list(BAD))
def test_each_bad_entry_is_named(folder, cause, entry):
    with pytest.raises(UserError, match=r'bad entries \(1\)') as error:
        read(folder, [*GOOD, {'id': 'x7', **entry}], on_bad='raise')
    assert f'x7 (entry 2): {cause}' in str(error.value)


def test_bad_entries_are_skipped_with_one_warning(folder, warnings):
    dataset = read(folder, [*BAD.values(), *GOOD, BAD['no conversation'], 'what?'])
    assert [dataset.get_data_info(i)['question_id'] for i in range(len(dataset))] == ['a', 'b']
    (text,) = warnings()
    assert 'bad entries (10): 3 x no conversation; 1 x ' in text
    assert all(cause in text for cause in BAD)
    assert text.count('(entry ') == 5


def test_nothing_left(folder):
    with pytest.raises(UserError, match='bad entries: 1, without an image: 1'):
        read(folder, [BAD['no conversation'], TEXT])


def test_file_that_is_no_list_of_conversations(folder):
    with pytest.raises(UserError, match='cannot be read'):
        LlavaInstruct('gone.json', data_root=str(folder))
    (folder / 'broken.json').write_text('[{')
    with pytest.raises(UserError, match='not JSON'):
        LlavaInstruct('broken.json', data_root=str(folder))
    with pytest.raises(UserError, match='holds a dict'):
        read(folder, {'conversations': []})


def test_unknown_treatment_of_bad_entries(folder):
    with pytest.raises(UserError, match=r"on_bad='ignore' .*skip, raise"):
        read(folder, GOOD, on_bad='ignore')
