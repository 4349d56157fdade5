"""An export in mmpretrain's hands and in ours: the student's own predictions, never random ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmpretrain.apis import ImageClassificationInferencer, get_model

from transmamba_mm.apis.export_student import export_student
from transmamba_mm.apis.trained_model import find_config
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones import Vim
from transmamba_mm.registry import MODELS

HEAD = {'type': 'mmpretrain.LinearClsHead', 'num_classes': 5, 'in_channels': 16}
SIZES = {'embed_dims': 16, 'num_layers': 2, 'state_dims': 4}
STUDENT = {
    'type': 'mmpretrain.ImageClassifier',
    'backbone': {'type': 'transmamba_mm.Vim', 'arch': SIZES, 'img_size': 16, 'patch_size': 4},
    'head': HEAD,
}
TEACHER = {
    'type': 'mmpretrain.ImageClassifier',
    'backbone': {
        'type': 'mmpretrain.VisionTransformer',
        'arch': {
            **{'embed_dims': 16, 'num_layers': 2, 'num_heads': 2},
            'feedforward_channels': 32,
        },
        'img_size': 16,
        'patch_size': 4,
    },
    'head': {**HEAD, 'type': 'mmpretrain.VisionTransformerClsHead'},
}
CONFIG = {
    'default_scope': 'transmamba_mm',
    'custom_imports': {'imports': ['transmamba_mm'], 'allow_failed_imports': False},
    'model': {
        'type': 'transmamba_mm.KnowledgeTransfer',
        'student': STUDENT,
        'teacher': {'model': TEACHER, 'checkpoint': 'nowhere.pth'},
        'distiller': {'type': 'transmamba_mm.WSAB'},
    },
    'data_preprocessor': {
        **{'type': 'mmpretrain.ClsDataPreprocessor', 'num_classes': 5},
        **{'mean': [100.0] * 3, 'std': [50.0] * 3},
    },
    'train_cfg': {'max_epochs': 3},
    'test_dataloader': {
        'batch_size': 2,
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        'dataset': {
            'type': 'mmpretrain.CustomDataset',
            'pipeline': [
                {'type': 'LoadImageFromFile'},
                {'type': 'mmpretrain.Resize', 'scale': 16},
                {'type': 'mmpretrain.PackInputs'},
            ],
        },
    },
    'test_evaluator': {'type': 'mmpretrain.Accuracy'},
    'test_cfg': {},
}
PHOTO = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """A transfer's config and checkpoint, and the export of both."""
    folder = tmp_path_factory.mktemp('transfer')
    Config(CONFIG).dump(folder / 'transfer.py')
    torch.manual_seed(0)
    student = MODELS.build({**STUDENT, '_scope_': 'transmamba_mm'})
    student.init_weights()
    student.head.fc.weight.data.normal_()  # so that predictions differ
    state = {f'student.{key}': value for key, value in student.state_dict().items()}
    state['distiller.projector.weight'] = torch.ones(3)
    meta = {'dataset_meta': {'classes': tuple('abcde')}, 'epoch': 3, 'cfg': 'nobody runs this'}
    torch.save({'state_dict': state, 'meta': meta}, folder / 'epoch_3.pth')
    export_student(
        str(folder / 'epoch_3.pth'), str(folder / 'student.pth'), str(folder / 'transfer.py')
    )
    return folder


def scores(config: Path, weights: Path, **options) -> np.ndarray:
    torch.manual_seed(torch.seed())  # what is random differs from call to call
    inferencer = ImageClassificationInferencer(str(config), str(weights), device='cpu', **options)
    return inferencer(PHOTO)[0]['pred_scores']


@pytest.fixture(scope='module')
def expected(folder) -> np.ndarray:
    """Predictions of the student itself, without the export."""
    state = torch.load(folder / 'epoch_3.pth')['state_dict']
    own = {k.removeprefix('student.'): v for k, v in state.items() if k.startswith('student.')}
    cfg = {**STUDENT, 'data_preprocessor': CONFIG['data_preprocessor'], '_scope_': 'transmamba_mm'}
    student = MODELS.build(cfg).eval()
    torch.nn.Module.load_state_dict(student, own)
    pipeline = ImageClassificationInferencer(student_with(student), device='cpu').pipeline
    batch = pipeline({'img': PHOTO, 'img_shape': PHOTO.shape[:2], 'ori_shape': PHOTO.shape[:2]})
    with torch.no_grad():
        (sample,) = student.test_step({key: [value] for key, value in batch.items()})
    return sample.pred_score.numpy()


def student_with(student):
    student._config = Config(CONFIG)
    return student


@pytest.mark.parametrize('config', ['student.py', 'transfer.py'])
@pytest.mark.parametrize('weights', ['student.pth', 'epoch_3.pth'])
def test_every_pair_predicts_as_the_student_does(folder, expected, config, weights):
    np.testing.assert_allclose(scores(folder / config, folder / weights), expected, atol=1e-6)


def test_the_export_is_the_student_and_nothing_else(folder):
    cfg = Config.fromfile(folder / 'student.py')
    assert cfg.model.type == 'mmpretrain.ImageClassifier'
    assert cfg.model.backbone.type == 'transmamba_mm.Vim'
    assert not {'train_cfg', 'teacher', 'distiller'} & set(cfg)
    saved = torch.load(folder / 'student.pth')
    assert saved['meta'] == {'dataset_meta': {'classes': tuple('abcde')}, 'epoch': 3}
    model = get_model(str(folder / 'student.py'), str(folder / 'student.pth'))
    assert isinstance(model.backbone, Vim) and model._dataset_meta['classes'] == tuple('abcde')
    assert isinstance(MODELS.build(cfg.model).backbone, Vim)


@pytest.mark.parametrize('kind', ['nothing', 'another model', 'no head', 'other shapes'])
def test_nothing_random_predicts(folder, tmp_path, kind):
    state = torch.load(folder / 'epoch_3.pth')['state_dict']
    if kind == 'another model':
        state = {'fc.weight': torch.ones(3, 3)}
    elif kind == 'no head':
        state = {key: value for key, value in state.items() if '.head.' not in key}
    elif kind == 'other shapes':
        state['student.head.fc.weight'] = torch.ones(7, 16)
    torch.save({'state_dict': state}, tmp_path / 'weights.pth')
    weights = None if kind == 'nothing' else str(tmp_path / 'weights.pth')
    inferencer = ImageClassificationInferencer(str(folder / 'transfer.py'), weights, device='cpu')
    count = {'no head': 2, 'other shapes': 1}.get(kind, '')
    with pytest.raises(UserError, match=f'^{count}.* tensors? of the student .* random'):
        inferencer(PHOTO)


def test_what_is_loaded_in_parts_predicts_when_all_are_there(folder):
    model = get_model(str(folder / 'transfer.py'))
    state = torch.load(folder / 'epoch_3.pth')['state_dict']
    halves = [{k: v for k, v in state.items() if ('head' in k) == half} for half in (True, False)]
    images = torch.zeros(1, 3, 16, 16)
    for half in halves:
        with pytest.raises(UserError, match='random'):
            model(images, mode='predict')
        model.load_state_dict(half, strict=False)
    model(images, mode='predict')


def test_a_training_may_begin_with_either(folder):
    student = get_model(str(folder / 'student.py'))
    load_checkpoint(student, str(folder / 'epoch_3.pth'))
    transfer = get_model(str(folder / 'transfer.py'))
    load_checkpoint(transfer, str(folder / 'student.pth'))
    for key, value in student.state_dict().items():
        assert value.equal(transfer.student.state_dict()[key])


def test_the_tools_find_the_config_of_an_export_by_its_name(folder):
    assert find_config(str(folder / 'student.pth')) == folder / 'student.py'
    paths = [str(folder / name) for name in ('epoch_3.pth', 'student.pth', 'transfer.py')]
    export_student(*paths)  # the same again is no other config
    assert find_config(str(folder / 'student.pth')) == folder / 'student.py'


def test_a_config_of_another_model_is_refused(folder, tmp_path):
    other = Config.fromfile(folder / 'transfer.py')
    other.model.student.head.num_classes = 7
    other.dump(tmp_path / 'other.py')
    out = tmp_path / 'student.pth'
    with pytest.raises(UserError, match=r'does not fit.*\n.*head\.fc'):
        export_student(str(folder / 'epoch_3.pth'), str(out), str(tmp_path / 'other.py'))
    assert not out.exists() and not (tmp_path / 'student.py').exists()


def test_types_without_a_scope_get_ours(folder, tmp_path):
    bare = Config.fromfile(folder / 'transfer.py')
    bare.model.student.backbone.type = 'Vim'
    bare.test_dataloader.dataset.pipeline[0].type = 'LoadImage'
    bare.dump(tmp_path / 'bare.py')
    out = tmp_path / 'student.safetensors'
    export_student(str(folder / 'epoch_3.pth'), str(out), str(tmp_path / 'bare.py'))
    cfg = Config.fromfile(tmp_path / 'student.py')
    assert cfg.model.backbone.type == 'transmamba_mm.Vim'
    assert cfg.test_dataloader.dataset.pipeline[0].type == 'transmamba_mm.LoadImage'
