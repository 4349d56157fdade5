"""One trained model, one image, one question, one answer."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from PIL import Image

from tests.apis.vqa_run import write_run
from transmamba_mm.apis.answer_questions import VQAInferencer
from transmamba_mm.errors import UserError
from transmamba_mm.launch.data_config import fit_to_model
from transmamba_mm.registry import DATASETS

QUESTIONS = ['What shape is in the image?', 'Is there a blue circle?']


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp('run'))


def test_answers_what_the_test_loop_answers(work_dir):
    answerer = VQAInferencer(str(work_dir))
    cfg = Config.fromfile(work_dir / 'recipe.py')
    data = DATASETS.build({**cfg.test_dataloader.dataset, 'indices': 8})
    batch = default_collate([data[i] for i in range(8)])
    with torch.no_grad():
        expected = [sample.pred_answer for sample in answerer.model.test_step(batch)]
    items = [data.get_data_info(i) for i in range(8)]
    images, questions = ([item[key] for item in items] for key in ('img_path', 'question'))
    assert answerer(images, questions) == expected


def test_normalizes_by_the_config(work_dir):
    assert VQAInferencer(str(work_dir)).model.data_preprocessor.mean.max() > 200


@pytest.mark.parametrize('name', ['nowhere.png', 'text.png'])
def test_an_image_that_cannot_be_read_is_refused(work_dir, tmp_path, name):
    (tmp_path / 'text.png').write_text('not an image')
    with pytest.raises(UserError, match=name):
        VQAInferencer(str(work_dir))([tmp_path / name], QUESTIONS[:1])


def test_an_empty_question_and_one_without_an_image_are_refused(work_dir, tmp_path):
    image = tmp_path / 'white.png'
    Image.fromarray(np.full((64, 64, 3), 255, np.uint8)).save(image)
    answerer = VQAInferencer(str(work_dir))
    with pytest.raises(UserError, match='is empty'):
        answerer([image], [' '])
    with pytest.raises(UserError, match=r'white\.png is not valid UTF-8 text'):
        answerer([image], ['What \udcff is it?'])
    with pytest.raises(UserError, match='1 images and 2 questions'):
        answerer([image], QUESTIONS)


def test_a_model_that_answers_nothing_is_refused(work_dir):
    with pytest.raises(UserError, match='answers no questions'):
        VQAInferencer(str(work_dir), 'configs/teachers/deit-nano_digits.py')


def test_a_checkpoint_of_another_model_is_refused(work_dir, tmp_path):
    weights = torch.load(work_dir / 'iter_1.pth')['state_dict']
    kept = {key: value for key, value in weights.items() if 'cross_mamba' not in key}
    torch.save({'state_dict': kept}, tmp_path / 'other.pth')
    with pytest.raises(UserError, match=r'other\.pth does not fit the MambaVQA.*\n.*missing'):
        VQAInferencer(str(tmp_path / 'other.pth'), str(work_dir / 'recipe.py'))


@pytest.mark.parametrize('wrapper', ['RepeatDataset', 'ConcatDataset'])
def test_a_test_data_set_may_be_wrapped(work_dir, tmp_path, wrapper):
    cfg = Config.fromfile(work_dir / 'recipe.py')
    inner = dict(cfg.test_dataloader.dataset)
    inside = {'datasets': [inner]} if wrapper == 'ConcatDataset' else {'dataset': inner, 'times': 2}
    cfg.test_dataloader.dataset = {'type': wrapper, **inside}
    cfg.dump(str(tmp_path / 'wrapped.py'))
    Image.fromarray(np.full((64, 64, 3), 255, np.uint8)).save(tmp_path / 'white.png')
    plain = VQAInferencer(str(work_dir))
    wrapped = VQAInferencer(str(work_dir), str(tmp_path / 'wrapped.py'))
    images = [tmp_path / 'white.png'] * 2
    assert wrapped(images, QUESTIONS) == plain(images, QUESTIONS)


@pytest.mark.parametrize('dataset', [None, {'type': 'EasyVQA', 'pipeline': []}])
def test_a_config_that_reads_no_images_is_refused(work_dir, tmp_path, dataset):
    cfg = Config.fromfile(work_dir / 'recipe.py')
    cfg.test_dataloader = dataset and {'dataset': dataset}
    cfg.dump(str(tmp_path / 'blind.py'))
    with pytest.raises(UserError, match=r'blind\.py reads no images \(it has no steps\)'):
        VQAInferencer(str(work_dir), str(tmp_path / 'blind.py'))


def test_without_a_config_beside_the_checkpoint_one_has_to_be_named(work_dir, tmp_path):
    lonely = tmp_path / 'lonely.pth'
    lonely.write_bytes((work_dir / 'iter_1.pth').read_bytes())
    with pytest.raises(UserError, match='--config'):
        VQAInferencer(str(lonely))
    VQAInferencer(str(lonely), str(work_dir / 'recipe.py'))


@pytest.mark.parametrize(
    'size', [(300, 200), (640, 480), (48, 64), (64, 64), (1, 1), (4000, 300), (3, 900)]
)
def test_images_of_any_shape_become_what_the_model_was_trained_on(work_dir, tmp_path, size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'photo.png')
    answerer = VQAInferencer(str(work_dir))
    seen = []
    answerer.model.vision.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    answerer([tmp_path / 'photo.png'], QUESTIONS[:1])
    assert seen[0].shape == (1, 3, 64, 64)
    if size == (64, 64):  # nothing to do, so nothing is done
        given = torch.tensor(pixels).permute(2, 0, 1).float()
        normal = answerer.model.data_preprocessor
        torch.testing.assert_close(seen[0][0] * normal.std + normal.mean, given, atol=1e-3, rtol=0)


def test_a_photo_of_a_phone_is_upright(work_dir, tmp_path):
    pixels = np.zeros((60, 120, 3), np.uint8)
    pixels[:, :60] = 255
    stored = Image.fromarray(np.rot90(pixels))  # turned to the left, with a note to turn it back
    exif = stored.getexif()
    exif[0x0112] = 6
    stored.save(tmp_path / 'phone.jpg', exif=exif, quality=95)
    answerer = VQAInferencer(str(work_dir))
    seen = []
    answerer.model.vision.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    answerer([tmp_path / 'phone.jpg'], QUESTIONS[:1])
    assert seen[0][0, :, :, :24].mean() > seen[0][0, :, :, -24:].mean() + 1


def test_the_config_decides_where_it_leads_to_one_size(work_dir):
    cfg = Config.fromfile('configs/_base_/datasets/vqa_336.py')
    model = VQAInferencer(str(work_dir)).model
    steps = fit_to_model(cfg.test_pipeline, model)
    assert [step['type'].rpartition('.')[2] for step in steps] == [
        *('LoadImage', 'ResizeEdge', 'FitSize', 'CenterCrop', 'PackInputs')
    ]
    assert steps[2]['only_smaller'] and steps[2]['size'] == 336
    resized = [{'type': 'Resize', 'scale': 96}, {'type': 'PackInputs'}]
    assert fit_to_model(resized, model) == resized
    assert fit_to_model([{'type': 'ResizeEdge', 'scale': 96}], model)[-1]['size'] == (64, 64)
