"""One trained model, one image, one question, one answer."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from PIL import Image

from tests.apis.vqa_run import write_run
from transmamba_mm.apis.vqa import VisualQuestionAnswerer
from transmamba_mm.errors import UserError
from transmamba_mm.registry import DATASETS

QUESTIONS = ['What shape is in the image?', 'Is there a blue circle?']


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp('run'))


def test_answers_what_the_test_loop_answers(work_dir):
    answerer = VisualQuestionAnswerer(str(work_dir))
    cfg = Config.fromfile(work_dir / 'recipe.py')
    data = DATASETS.build({**cfg.test_dataloader.dataset, 'indices': 8})
    batch = default_collate([data[i] for i in range(8)])
    with torch.no_grad():
        expected = [sample.pred_answer for sample in answerer.model.test_step(batch)]
    items = [data.get_data_info(i) for i in range(8)]
    images, questions = ([item[key] for item in items] for key in ('img_path', 'question'))
    assert answerer(images, questions) == expected


def test_normalizes_as_the_config_says(work_dir):
    assert VisualQuestionAnswerer(str(work_dir)).model.data_preprocessor.mean.max() > 200


@pytest.mark.parametrize('name', ['nowhere.png', 'text.png'])
def test_an_image_that_cannot_be_read_is_refused(work_dir, tmp_path, name):
    (tmp_path / 'text.png').write_text('not an image')
    with pytest.raises(UserError, match=name):
        VisualQuestionAnswerer(str(work_dir))([tmp_path / name], QUESTIONS[:1])


def test_an_empty_question_and_one_without_an_image_are_refused(work_dir, tmp_path):
    image = tmp_path / 'white.png'
    Image.fromarray(np.full((64, 64, 3), 255, np.uint8)).save(image)
    answerer = VisualQuestionAnswerer(str(work_dir))
    with pytest.raises(UserError, match='is empty'):
        answerer([image], [' '])
    with pytest.raises(UserError, match='1 images and 2 questions'):
        answerer([image], QUESTIONS)


def test_a_model_that_answers_nothing_is_refused(work_dir):
    with pytest.raises(UserError, match='answers no questions'):
        VisualQuestionAnswerer(str(work_dir), 'configs/scratch/vim-nano_digits.py')


def test_a_checkpoint_of_another_model_is_refused(work_dir, tmp_path):
    weights = torch.load(work_dir / 'iter_1.pth')['state_dict']
    kept = {key: value for key, value in weights.items() if 'cross_mamba' not in key}
    torch.save({'state_dict': kept}, tmp_path / 'other.pth')
    with pytest.raises(UserError, match=r'other\.pth does not fit the MambaVQA.*\n.*missing'):
        VisualQuestionAnswerer(str(tmp_path / 'other.pth'), str(work_dir / 'recipe.py'))


@pytest.mark.parametrize('wrapper', ['RepeatDataset', 'ConcatDataset'])
def test_a_test_data_set_may_be_wrapped(work_dir, tmp_path, wrapper):
    cfg = Config.fromfile(work_dir / 'recipe.py')
    inner = dict(cfg.test_dataloader.dataset)
    inside = {'datasets': [inner]} if wrapper == 'ConcatDataset' else {'dataset': inner, 'times': 2}
    cfg.test_dataloader.dataset = {'type': wrapper, **inside}
    cfg.dump(str(tmp_path / 'wrapped.py'))
    Image.fromarray(np.full((64, 64, 3), 255, np.uint8)).save(tmp_path / 'white.png')
    plain = VisualQuestionAnswerer(str(work_dir))
    wrapped = VisualQuestionAnswerer(str(work_dir), str(tmp_path / 'wrapped.py'))
    images = [tmp_path / 'white.png'] * 2
    assert wrapped(images, QUESTIONS) == plain(images, QUESTIONS)


@pytest.mark.parametrize('dataset', [None, {'type': 'EasyVQA', 'pipeline': []}])
def test_a_config_that_reads_no_images_is_refused(work_dir, tmp_path, dataset):
    cfg = Config.fromfile(work_dir / 'recipe.py')
    cfg.test_dataloader = dataset and {'dataset': dataset}
    cfg.dump(str(tmp_path / 'blind.py'))
    with pytest.raises(UserError, match=r'blind\.py reads no images \(it has no steps\)'):
        VisualQuestionAnswerer(str(work_dir), str(tmp_path / 'blind.py'))


def test_without_a_config_beside_the_checkpoint_one_has_to_be_named(work_dir, tmp_path):
    lonely = tmp_path / 'lonely.pth'
    lonely.write_bytes((work_dir / 'iter_1.pth').read_bytes())
    with pytest.raises(UserError, match='--config'):
        VisualQuestionAnswerer(str(lonely))
    VisualQuestionAnswerer(str(lonely), str(work_dir / 'recipe.py'))
