"""Exact search in blocks, and what an index keeps."""

import json
import os

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import normalize

from transmamba_mm.apis import video_index
from transmamba_mm.apis.index_file import FORMAT
from transmamba_mm.apis.video_index import VideoIndex, file_stat, search_index
from transmamba_mm.errors import UserError


@pytest.mark.parametrize('rows', [1, 3, 10, 64])
@pytest.mark.parametrize('top', [1, 4, 99])
def test_blocks_do_not_change_what_is_nearest(monkeypatch, rows, top):
    monkeypatch.setattr(video_index, 'ROWS', rows)
    generator = torch.Generator().manual_seed(0)
    vectors = normalize(torch.randn(23, 6, generator=generator), dim=1)
    queries = normalize(torch.randn(3, 6, generator=generator), dim=1)
    scores, places = search_index(queries, vectors, top)
    expected = (queries @ vectors.T).topk(min(top, 23))
    assert places.equal(expected.indices)
    torch.testing.assert_close(scores, expected.values)


def test_what_is_saved_comes_back(tmp_path):
    index = VideoIndex(tmp_path / 'sub' / 'index', 'me')
    vectors = normalize(torch.randn(3, 4), dim=1)
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


def test_an_unwritable_folder_is_reported(tmp_path):
    (tmp_path / 'file').touch()
    index = VideoIndex(tmp_path / 'file' / 'index', 'me')
    index.put('a', (1, 1), torch.randn(4))
    with pytest.raises(UserError, match='cannot be written'):
        index.save()


def test_the_stamp_of_a_folder_is_of_all_in_it(tmp_path):
    for name in ('a', 'b'):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, ns=(1, 1))
    before = file_stat(tmp_path)
    (tmp_path / 'b').write_text('longer')
    os.utime(tmp_path / 'b', ns=(1, 1))
    assert file_stat(tmp_path) != before
    assert file_stat(tmp_path / 'b') == (6, 1)


VECTORS = normalize(torch.ones(2, 4), dim=1)
NAMES = [['a', 1, 1], ['b', 1, 1]]
SPOILED = {
    'half': {'embeddings': VECTORS.half()},
    'integers': {'embeddings': VECTORS.long()},
    'one dimension': {'embeddings': VECTORS.flatten()},
    'three dimensions': {'embeddings': VECTORS[None]},
    'other width': {'embeddings': normalize(torch.ones(2, 5), dim=1)},
    'NaN': {'embeddings': VECTORS * float('nan')},
    'one inf': {'embeddings': VECTORS.index_fill(0, torch.tensor([1]), float('inf'))},
    'no unit vectors': {'embeddings': VECTORS * 3},
    'zeros': {'embeddings': VECTORS * 0},
    'fewer rows': {'embeddings': VECTORS[:1]},
    'more rows': {'embeddings': VECTORS[[0, 1, 0]]},
    'no embeddings': {'embeddings': None},
    'no manifest': {'manifest': None},
    'floats for a manifest': {'manifest': torch.ones(9)},
    'no JSON': {'manifest': b'\xff['},
    'deep JSON': {'manifest': b'[' * 200_000},
    'an object': {'manifest': b'{"a": 1}'},
    'no triples': {'manifest': b'[["a", 1], ["b", 1]]'},
    'wrong types': {'manifest': b'[["a", "1", 1], [3, 1, 1]]'},
    'a name twice': {'manifest': b'[["a", 1, 1], ["a", 1, 1]]'},
}


@pytest.mark.parametrize('fault', SPOILED)
def test_a_valid_header_with_other_contents_is_refused(tmp_path, fault):
    manifest = SPOILED[fault].get('manifest', json.dumps(NAMES).encode())
    if isinstance(manifest, bytes):
        manifest = torch.frombuffer(bytearray(manifest), dtype=torch.uint8)
    tensors = {'manifest': manifest, 'embeddings': SPOILED[fault].get('embeddings', VECTORS)}
    held = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_file(held, tmp_path / 'index', {'format': FORMAT, 'maker': 'me'})
    with pytest.raises(UserError, match=r'index is no index of videos \(.*--rebuild'):
        VideoIndex(tmp_path / 'index', 'me', dims=4)
    with pytest.raises(UserError, match='other weights'):
        VideoIndex(tmp_path / 'index', 'another', dims=4)
    assert len(VideoIndex(tmp_path / 'index', 'me', rebuild=True, dims=4)) == 0


def test_a_valid_header_with_valid_contents_is_read(tmp_path):
    manifest = torch.frombuffer(bytearray(json.dumps(NAMES).encode()), dtype=torch.uint8)
    tensors = {'manifest': manifest, 'embeddings': VECTORS}
    save_file(tensors, tmp_path / 'index', {'format': FORMAT, 'maker': 'me'})
    assert VideoIndex(tmp_path / 'index', 'me', dims=4).paths == ['a', 'b']
