"""An exported student is rebuilt without the checkpoints that its training began with."""

import shutil

import pytest
import torch
from mmengine.config import Config
from mmpretrain.apis import get_model

from tests.models.hf.small_lm import ours_alone
from tests.models.retrieval.small_retrieval import VIM, word_tokenizer
from tests.tools.command_line import call_tool
from transmamba_mm.apis.trained_model import load_trained
from transmamba_mm.models.hf.hf_assets import FOLDER, save_hf_assets
from transmamba_mm.models.vqa import MambaVQA
from transmamba_mm.registry import MODELS


@pytest.fixture
def model(tmp_path):
    """Config of a MambaVQA whose language model is of a folder with its tokenizer."""
    ours_alone(bc_from='hidden').save_pretrained(tmp_path / 'source')
    word_tokenizer().save_pretrained(tmp_path / 'source')
    language = {'type': 'MambaLM', 'checkpoint': str(tmp_path / 'source')}
    vision = {**VIM, 'out_type': 'featmap'}
    return {'type': 'MambaVQA', 'vision': vision, 'language': language, 'prompt': 'a {question}'}


def write_run(folder, model):
    """The files of a training: a transfer's checkpoint and the student's architectures."""
    trained = MODELS.build(model).eval()
    save_hf_assets(model, folder)
    Config({'model': {'type': 'KnowledgeTransfer', 'student': model}}).dump(str(folder / 'run.py'))
    state = {f'student.{key}': value for key, value in trained.state_dict().items()}
    torch.save({'state_dict': state}, folder / 'iter_1.pth')
    return trained


def test_it_needs_neither_the_run_nor_its_sources(model, tmp_path):
    trained = write_run(tmp_path / 'run', model)
    command = ['export_student.py', 'run/iter_1.pth', 'out/student.pth', '--config', 'run/run.py']
    done = call_tool(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f'out/{FOLDER}: ' in done.stdout
    shutil.rmtree(tmp_path / 'run')
    shutil.rmtree(tmp_path / 'source')
    Config({'model': model}).dump(str(tmp_path / 'plain.py'))
    exported = str(tmp_path / 'out/student.pth')
    weights = trained.state_dict()
    shutil.copytree(tmp_path / 'out', tmp_path / 'moved')
    for config in ('plain.py', 'out/student.py', 'moved/student.py'):
        again, _ = load_trained(exported, str(tmp_path / config), 'cpu', MambaVQA, '')
        assert all(torch.equal(weights[key], value) for key, value in again.state_dict().items())
        assert again.vocabulary == trained.vocabulary
    alone = get_model(str(tmp_path / 'out/student.py'), exported)
    assert all(torch.equal(weights[key], value) for key, value in alone.state_dict().items())


def test_two_models_do_not_share_a_folder(model, tmp_path):
    write_run(tmp_path / 'run', model)
    command = ['export_student.py', 'run/iter_1.pth', '--config', 'run/run.py']
    for name in ('a.pth', 'b.safetensors'):  # the same model twice is well
        assert call_tool(*command, f'out/{name}', cwd=tmp_path).returncode == 0
    config = tmp_path / 'run' / FOLDER / 'language/config.json'
    config.write_text(config.read_text().replace('24', '48'))
    done = call_tool(*command, 'out/c.pth', cwd=tmp_path)
    assert done.returncode == 1 and 'belongs to another model' in done.stderr
    assert 'Traceback' not in done.stderr and not (tmp_path / 'out/c.pth').exists()


def test_two_configs_do_not_share_a_name(model, tmp_path):
    write_run(tmp_path / 'run', model)
    command = ['export_student.py', 'run/iter_1.pth', 'out/a.pth', '--config', 'run/run.py']
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/a.py').write_text('model = dict()')
    done = call_tool(*command, cwd=tmp_path)
    assert done.returncode == 1 and 'out/a.py is the config of another model' in done.stderr
    assert (tmp_path / 'out/a.py').read_text() == 'model = dict()'
