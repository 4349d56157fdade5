"""LoadImage: images that cannot be read, and items that have none, as a data loader runs them."""

import logging

import numpy as np
import pytest
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from PIL import Image
from torch.utils.data import DataLoader

from transmamba_mm.apis.explain import explain
from transmamba_mm.datasets import LoadImage
from transmamba_mm.errors import UserError

NO_IMAGE = 'empty, damaged or no image'
BAD = {
    'absent.png': 'No such file',
    'empty.png': NO_IMAGE,
    'text.png': NO_IMAGE,
    'half.png': NO_IMAGE,
    'folder.png': 'Is a directory',
    None: 'has none',
}


class Images(BaseDataset):
    def __init__(self, paths, **kwargs):
        self.paths = paths
        super().__init__(pipeline=[{'type': 'LoadImage', **kwargs}])

    def load_data_list(self):
        return [{'img_path': path} for path in self.paths]


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('transmamba_mm')


@pytest.fixture
def bad(tmp_path):
    """Paths of everything that is no image, or half of one."""
    (tmp_path / 'empty.png').touch()
    (tmp_path / 'text.png').write_text('<html>404</html>')
    (tmp_path / 'folder.png').mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / 'half.png')
    whole = (tmp_path / 'half.png').read_bytes()
    (tmp_path / 'half.png').write_bytes(whole[: len(whole) // 2])
    return [name and str(tmp_path / name) for name in BAD]


@pytest.fixture
def good(tmp_path):
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[..., 0] = 200  # red
    Image.fromarray(pixels).save(tmp_path / 'red.png')
    return str(tmp_path / 'red.png')


@pytest.fixture
def warnings(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield lambda: [line.getMessage() for line in caplog.records if line.levelno == logging.WARNING]
    logger.removeHandler(caplog.handler)


def test_reads_what_mmcv_reads(good):
    item = LoadImage().transform({'img_path': good})
    assert item['img'].shape == (6, 8, 3) and item['img'][0, 0].tolist() == [0, 0, 200]
    assert item['img_shape'] == item['ori_shape'] == (6, 8)
    assert LoadImage(to_float32=True).transform({'img_path': good})['img'].dtype == np.float32


def test_a_glance_sees_what_is_missing_or_empty(good, bad):
    seen = dict(LoadImage().glance({'img_path': path}) for path in [good, *bad])
    assert seen.pop(good) == ''
    told = {path[path.rfind('/') + 1 :] for path, fault in seen.items() if path in fault and path}
    assert told >= {'absent.png', 'empty.png'} and not told & {'text.png', 'half.png'}
    assert seen[''] == 'An item has no image.'
    assert LoadImage(blank=(0, 0, 0)).glance({'img_path': None}) == ('', '')
    assert LoadImage(backend_args={'backend': 'http'}).glance({'img_path': 'x'}) == ('x', '')


@pytest.mark.parametrize('workers', [0, 2])
def test_bad_images_are_replaced_and_counted_in_training(good, bad, workers, warnings):
    dataset = Images([good] * 3 + bad)
    loader = DataLoader(dataset, 4, num_workers=workers, collate_fn=pseudo_collate)
    for batch in loader:
        assert set(batch['img_path']) == {good}
    assert dataset.pipeline.transforms[0].bad_items.total >= len(bad)
    if not workers:
        first = warnings()
        assert 0 < len(first) <= 5 and all('is left out' in text for text in first)
        assert 'absent.png cannot be read (No such file or directory)' in first[0]


@pytest.mark.parametrize('name', BAD)
def test_an_evaluation_stops_and_names_the_file_and_the_cause(bad, name):
    message = f'{name} cannot be read .*{BAD[name]}.*leaves nothing out'
    with pytest.raises(UserError, match=message):
        Images(bad, on_bad='raise')[list(BAD).index(name)]


def test_the_message_of_a_worker_is_the_message(bad):
    loader = DataLoader(
        Images(bad[:1], on_bad='raise'), 1, num_workers=1, collate_fn=pseudo_collate
    )
    with pytest.raises(UserError) as error:
        next(iter(loader))
    assert explain(error.value).startswith(f'The image {bad[0]} cannot be read (No such file')


def test_an_item_without_an_image_gets_one_of_the_color_asked_for():
    item = Images([None], on_bad='raise', blank=[122.77, 116.75, 104.09])[0]
    assert np.unique(item['img'].reshape(-1, 3), axis=0).tolist() == [[104, 117, 123]]
    assert item['img_shape'] == item['img'].shape[:2]


def test_another_on_bad_is_refused():
    with pytest.raises(UserError, match="on_bad='mark' is unknown"):
        LoadImage(on_bad='mark')
