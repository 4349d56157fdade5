"""LoadImage: images that cannot be read, and items that have none, as a data loader runs them."""

import logging

import numpy as np
import pytest
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from PIL import Image
from torch.utils.data import DataLoader

from tests.datasets.pictures import KINDS, bad_pictures, expected, write_picture
from transmamba_mm.datasets import LoadImage
from transmamba_mm.errors import UserError
from transmamba_mm.launch.explain import explain


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
def reasons(tmp_path):
    """Path of everything that is no image of bearable size, and why."""
    reasons = bad_pictures(tmp_path)
    paths = {str(tmp_path / name): reason for name, reason in reasons.items()}
    return {**paths, None: 'has none', ('a.png', 'b.png'): 'a tuple is no path'}


@pytest.fixture
def bad(reasons):
    return list(reasons)


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


def test_adds_what_mmcv_adds(good):
    item = LoadImage().transform({'img_path': good})
    assert item['img'].shape == (6, 8, 3) and item['img'][0, 0].tolist() == [0, 0, 200]
    assert item['img_shape'] == item['ori_shape'] == (6, 8)
    assert LoadImage(to_float32=True).transform({'img_path': good})['img'].dtype == np.float32


def test_quick_check_finds_missing_and_empty_files(good, bad):
    seen = dict(LoadImage().quick_check({'img_path': path}) for path in [good, *bad])
    assert seen.pop(good) == ''
    told = {path[path.rfind('/') + 1 :] for path, fault in seen.items() if path in fault and path}
    assert told >= {'absent.png', 'empty.png', 'fifo.png', 'dangling.png', 'device.png'}
    assert not told & {'text.png', 'half.png'}
    assert seen[''] == 'An item has no image.'
    assert LoadImage(blank=(0, 0, 0)).quick_check({'img_path': None}) == ('', '')
    assert LoadImage().quick_check({'img': 'in memory'}) == ('', '')
    assert LoadImage(backend_args={'backend': 'http'}).quick_check({'img_path': 'x'}) == ('x', '')


@pytest.mark.parametrize('workers', [0, 2])
def test_bad_images_are_replaced_and_counted_in_training(good, bad, workers, warnings):
    dataset = Images([good] * 3 + bad)
    loader = DataLoader(dataset, 4, num_workers=workers, collate_fn=pseudo_collate)
    for batch in loader:
        assert set(batch['img_path']) == {good}
    assert dataset.pipeline.transforms[0].skipped.total >= len(bad)
    if not workers:
        first = warnings()
        assert 0 < len(first) <= 5 and all('is skipped' in text for text in first)
        assert 'absent.png cannot be read (No such file or directory)' in first[0]


def test_an_evaluation_stops_and_names_the_file_and_the_cause(reasons):
    images = Images(list(reasons), on_bad='raise')
    for place, (path, reason) in enumerate(reasons.items()):
        with pytest.raises(UserError, match=f'(?i){reason}') as caught:
            images[place]
        assert f'{path} cannot be read' in str(caught.value)


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_of_file(tmp_path, kind):
    path = write_picture(kind, tmp_path / f'picture{KINDS[kind]}')
    image = LoadImage(on_bad='raise').transform({'img_path': str(path)})['img']
    assert image.flags.c_contiguous and image.dtype == np.uint8
    assert np.abs(image[..., ::-1].astype(int) - expected(kind)).mean() < 4


def test_files_that_are_not_on_a_disk(good, bad):
    step = LoadImage(on_bad='raise', backend_args={'backend': 'local'})
    assert step.transform({'img_path': good})['img'][0, 0].tolist() == [0, 0, 200]
    for path in bad[:2]:
        with pytest.raises(UserError, match=path):
            step.transform({'img_path': path})


def test_what_mmpretrains_inferencers_have_read_stays():
    item = {'img': np.zeros((2, 3, 3)), 'img_shape': (2, 3)}
    assert LoadImage(on_bad='raise').transform(dict(item)).keys() == item.keys()


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
    with pytest.raises(UserError, match="on_bad='mark'"):
        LoadImage(on_bad='mark')
    with pytest.raises(UserError, match='max_megapixels=0'):
        LoadImage(max_megapixels=0)
