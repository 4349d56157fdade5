"""Exact search in blocks, and what an index keeps."""

import os

import pytest
import torch
from torch.nn.functional import normalize

from transmamba_mm.apis import video_index
from transmamba_mm.apis.video_index import VideoIndex, nearest, stamp
from transmamba_mm.errors import UserError


@pytest.mark.parametrize('rows', [1, 3, 10, 64])
@pytest.mark.parametrize('top', [1, 4, 99])
def test_blocks_do_not_change_what_is_nearest(monkeypatch, rows, top):
    monkeypatch.setattr(video_index, 'ROWS', rows)
    generator = torch.Generator().manual_seed(0)
    vectors = normalize(torch.randn(23, 6, generator=generator), dim=1)
    queries = normalize(torch.randn(3, 6, generator=generator), dim=1)
    scores, places = nearest(queries, vectors, top)
    expected = (queries @ vectors.T).topk(min(top, 23))
    assert places.equal(expected.indices)
    torch.testing.assert_close(scores, expected.values)


def test_what_is_saved_comes_back(tmp_path):
    index = VideoIndex(tmp_path / 'sub' / 'index', 'me')
    vectors = torch.randn(3, 4)
    for number, path in enumerate(('b', 'a/ü "x"', 'c')):
        index.put(path, (number, 2**62 + number), vectors[number])
    index.save()
    again = VideoIndex(tmp_path / 'sub' / 'index', 'me')
    assert again.stamps == index.stamps and again.paths == index.paths
    assert again.vectors.equal(vectors)
    wanted, gone = again.update({'b': (0, 2**62), 'c': (2, 0), 'new': (1, 1)})
    assert (wanted, gone, again.paths) == (['c', 'new'], 1, ['b'])
    assert os.listdir(tmp_path / 'sub') == ['index']  # nothing unfinished is left behind


def test_an_index_that_was_emptied(tmp_path):
    index = VideoIndex(tmp_path / 'index', 'me')
    index.put('a', (1, 1), torch.randn(4))
    assert index.update({'a': (2, 2)}) == (['a'], 0)
    index.save()
    assert len(VideoIndex(tmp_path / 'index', 'me')) == 0


def test_a_place_that_cannot_be_written_to_is_told(tmp_path):
    (tmp_path / 'file').touch()
    index = VideoIndex(tmp_path / 'file' / 'index', 'me')
    index.put('a', (1, 1), torch.randn(4))
    with pytest.raises(UserError, match='cannot be written'):
        index.save()


def test_the_stamp_of_a_folder_is_of_all_in_it(tmp_path):
    for name in ('a', 'b'):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, ns=(1, 1))
    before = stamp(tmp_path)
    (tmp_path / 'b').write_text('longer')
    os.utime(tmp_path / 'b', ns=(1, 1))
    assert stamp(tmp_path) != before
    assert stamp(tmp_path / 'b') == (6, 1)
