"""One trained model, one image, one question, one answer."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from PIL import Image

from transmamba_mm.apis.vqa import VisualQuestionAnswerer
from transmamba_mm.errors import UserError
from transmamba_mm.registry import DATASETS, MODELS

RECIPE = 'configs/transmamba/mambavqa-nano_llava-nano_easyvqa.py'
QUESTIONS = ['What shape is in the image?', 'Is there a blue circle?']
SMALL = {
    'model.student.vision.arch.num_layers': 1,
    'model.student.language.config.num_hidden_layers': 1,
}


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    """What a training of the recipe leaves: its config and a checkpoint of the whole transfer."""
    folder = tmp_path_factory.mktemp('run')
    cfg = Config.fromfile(RECIPE)
    cfg.merge_from_dict(SMALL)
    cfg.dump(str(folder / 'recipe.py'))
    torch.manual_seed(0)
    student = MODELS.build({**cfg.model.student, 'data_preprocessor': cfg.data_preprocessor})
    student.init_weights()
    state = {f'student.{key}': value for key, value in student.state_dict().items()}
    torch.save({'state_dict': state}, folder / 'iter_1.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_1.pth'))
    return folder


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


def test_without_a_config_beside_the_checkpoint_one_has_to_be_named(work_dir, tmp_path):
    lonely = tmp_path / 'lonely.pth'
    lonely.write_bytes((work_dir / 'iter_1.pth').read_bytes())
    with pytest.raises(UserError, match='--config'):
        VisualQuestionAnswerer(str(lonely))
    VisualQuestionAnswerer(str(lonely), str(work_dir / 'recipe.py'))
