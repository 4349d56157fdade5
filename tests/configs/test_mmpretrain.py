"""mmpretrain's own functions and tools take our classification configs, transfers included."""

import json
import pickle
import runpy
import subprocess
import sys
from pathlib import Path

import mmcv
import mmpretrain
import numpy as np
import pytest
import torch
from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain import (
    FeatureExtractor,
    ImageClassificationInferencer,
    get_model,
    inference_model,
    list_models,
)

from tests.configs.runs import LEAVES, load, run_id
from transmamba_mm.datasets.digits import split_digits
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.student import student_config, student_weights

ROOT = Path(__file__).parents[2]
TOOLS = Path(mmpretrain.__file__).parent / '.mim/tools'
NANO = [(leaf, None) for leaf in LEAVES if leaf.match('*_digits.py')]
NANO += [(leaf, 'scratch') for leaf, _ in NANO if leaf.parent.name == 'transmamba']


@pytest.fixture(scope='module', params=NANO, ids=run_id)
def trained(request, tmp_path_factory):
    """A config, a checkpoint, four test images, the student's features and scores of them."""
    leaf, method = request.param
    if method:  # as a training writes it
        cfg = load(request.param)
        leaf = tmp_path_factory.mktemp(method) / Path(cfg.filename).name
        cfg.dump(str(leaf))
    cfg = Config.fromfile(leaf)
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp('trained') / 'weights.pth'
    with DefaultScope.overwrite_default_scope('transmamba_mm'):
        whole, student = (
            MODELS.build({'data_preprocessor': cfg.data_preprocessor, **model})
            for model in (cfg.model, student_config(cfg.model))
        )
    getattr(whole, 'student', whole).init_weights()
    torch.save({'state_dict': whole.state_dict(), 'meta': {}}, file)
    student.load_state_dict(student_weights(whole.state_dict()))
    images, _, test = split_digits('test')
    pixels = images[test[:4]]
    data = student.data_preprocessor({'inputs': list(torch.from_numpy(pixels).unsqueeze(1))})
    with torch.no_grad():
        features = student.eval().extract_feat(data['inputs'])
        scores = student(data['inputs']).softmax(-1).numpy()
    return str(leaf), str(file), pixels, features, scores


def tool(monkeypatch, folder, name, *arguments):
    """Run a tool of mmpretrain's with ``folder`` as the working directory."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
    runpy.run_path(str(TOOLS / name), run_name='__main__')


def test_inferencer_takes_arrays_and_files_and_predicts_as_the_student(trained, tmp_path):
    leaf, checkpoint, pixels, _, expected = trained
    files = [str(tmp_path / f'{i}.png') for i in range(4)]
    for file, image in zip(files, pixels, strict=True):
        mmcv.imwrite(image, file)
    classify = ImageClassificationInferencer(leaf, checkpoint)
    for inputs in (list(pixels), files):
        found = classify(inputs, batch_size=2)
        np.testing.assert_allclose([one['pred_scores'] for one in found], expected, atol=1e-6)
        assert [one['pred_class'] for one in found] == [str(i) for i in expected.argmax(1)]


def test_feature_extractor(trained):
    leaf, checkpoint, pixels, features, _ = trained
    found = FeatureExtractor(leaf, checkpoint)(list(pixels), batch_size=4)
    for one, expected in zip(found, features[-1], strict=True):
        torch.testing.assert_close(one[-1], expected)


def test_names_are_listed_and_built(trained):
    leaf = Path(trained[0])
    if leaf.parent.name != 'transmamba':
        pytest.skip('not in the index')
    assert leaf.stem in list_models(f'*{leaf.stem.partition("-")[0]}*')
    assert leaf.stem in ImageClassificationInferencer.list_models(leaf.stem)
    model = get_model(leaf.stem, trained[1])
    assert not model.training and model._dataset_meta['classes'][7] == '7'
    assert inference_model(model, trained[2][0])['pred_class'] == str(trained[4][0].argmax())


def test_flops(trained):
    model = get_model(trained[0])
    model.forward = model.extract_feat  # as get_flops does, which counts three channels alone
    assert get_model_complexity_info(model, (1, 8, 8))['flops'] > 1e5


def test_time_augmentation(trained, monkeypatch, tmp_path):
    out = tmp_path / 'metrics.json'
    options = ('--tta', '--no-pin-memory', '--out', out, '--out-item', 'metrics')
    tool(monkeypatch, tmp_path, 'test.py', *trained[:2], *options, '--work-dir', tmp_path)
    assert 0 <= json.loads(out.read_text())['accuracy/top1'] <= 100


def test_confusion_matrix(trained, monkeypatch, tmp_path):
    out = tmp_path / 'matrix.pkl'
    name = 'analysis_tools/confusion_matrix.py'
    tool(monkeypatch, tmp_path, name, *trained[:2], '--out', out, '--show-path', tmp_path / 'a.png')
    assert pickle.loads(out.read_bytes()).sum() == 360


def test_tsne(trained, monkeypatch, tmp_path):
    few = ('--max-num-samples', 3, '--perplexity', 5, '--n-iter', 250, '--work-dir', tmp_path)
    name = 'visualization/vis_tsne.py'
    tool(monkeypatch, tmp_path, name, trained[0], '--checkpoint', trained[1], *few)
    (features,) = tmp_path.rglob('feat_*.npy')
    assert len(np.load(features)) == 30 and list(tmp_path.rglob('feat_*.png'))


def test_cam(trained, monkeypatch, tmp_path):
    pytest.importorskip('pytorch_grad_cam')  # it would bring a second opencv
    mmcv.imwrite(trained[2][0], str(tmp_path / 'digit.png'))
    kind = ['--vit-like'] if '/teachers/' in trained[0] else []
    options = (tmp_path / 'digit.png', *trained[:2], '--save-path', tmp_path / 'cam.png', *kind)
    tool(monkeypatch, tmp_path, 'visualization/vis_cam.py', *options)
    assert mmcv.imread(str(tmp_path / 'cam.png')).shape == (8, 8, 3)


#: Leaves whose trainings count epochs or iterations, of images, of questions and of videos.
SCHEDULED = {
    'vim-nano_deit-nano_digits': 'train_cfg.max_iters=35',
    'vim-t_deit-t_cifar100': 'train_cfg.max_epochs=7',
    'mambavqa-nano_llava-nano_easyvqa': 'train_cfg.max_iters=35',
    'videomamba-nano_clip-nano_movingdigits': 'train_cfg.max_iters=35',
}


@pytest.mark.parametrize('leaf', SCHEDULED)
def test_schedule(leaf, monkeypatch, tmp_path):
    pytest.importorskip('matplotlib').use('Agg')
    leaf, length = str(ROOT / f'configs/transmamba/{leaf}.py'), SCHEDULED[leaf]
    # At the end of a short data set mmengine waits two seconds: this one is long enough.
    options = ('-d', 20000, '--not-show', '-s', tmp_path / 'lr.png', '--cfg-options', length)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        tool(monkeypatch, tmp_path, 'visualization/vis_scheduler.py', leaf, *options)
    assert mmcv.imread(str(tmp_path / 'lr.png')).std() > 0


def test_a_fresh_process_needs_no_import_but_the_config_s():
    leaf = ROOT / 'configs/transmamba/vim-nano_deit-nano_digits.py'
    script = f'from mmpretrain import get_model; print(type(get_model({str(leaf)!r}).backbone))'
    result = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert result.stdout.endswith("transmamba_mm.models.backbones.vim.Vim'>\n"), result.stderr
