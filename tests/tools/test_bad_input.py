"""A mistake ends in one clear message, exit code 1 and no traceback."""

import shutil

import pytest
import torch

from tests.test_checkpoint import Malicious
from tests.tools.command_line import run_tool, write_scratch

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def refused(result) -> str:
    """The message of a tool that gave up properly."""
    assert result.returncode == 1
    assert 'Traceback' not in result.stdout + result.stderr
    assert result.stderr.count('error: ') == 1
    return result.stderr.partition('error: ')[2]


MISTAKES = {
    'model.student.backbone.arch=nanoo': ['nanoo', 'tiny'],
    'model.student.backbone.pach_size=2': ["takes no 'pach_size'", "'patch_size'"],
    'model.student.backbone.type=Vimm': ["type='Vimm' is not a known model", "'Vim'"],
    'model.student.backbone.patch_size=3': ['8 pixels is not covered by patches of 3'],
    'model.teacher.model.head.num_classes=7': ['10 classes and the teacher 7'],
    'scan_backend=cuda_graphs': ["'cuda_graphs' cannot be used", 'reference'],
    'optim_wrapper.optimizer.lr=1e30': ['non-finite', 'lower the learning rate'],
}


@pytest.mark.parametrize('option', MISTAKES)
def test_config(folder, option):
    message = refused(run_tool('train.py', 'transmamba.py', '--cfg-options', option, cwd=folder))
    assert all(word in message for word in MISTAKES[option]), message


def test_label_outside_the_range(folder):
    result = run_tool(
        'train.py', 'scratch.py', '--cfg-options', 'model.head.num_classes=5', cwd=folder
    )
    assert 'num_classes=5' in refused(result)


def test_teacher_checkpoint_of_other_shapes(folder):
    result = run_tool(
        'train.py',
        'transmamba.py',
        '--cfg-options',
        'model.teacher.model.backbone.arch.num_layers=7',
        cwd=folder,
    )
    message = refused(result)
    assert 'does not fit' in message and 'missing' in message and 'layers.6' in message


@pytest.mark.parametrize('tool', ['train.py', 'test.py', 'export_student.py', 'resume'])
def test_checkpoint_with_code(folder, tool):
    evil, trace = folder / 'evil.pth', folder / 'ran'
    torch.save({'state_dict': {}, 'meta': Malicious(trace)}, evil)
    commands = {
        'train.py': ['transmamba.py', '--cfg-options', f'model.teacher.checkpoint={evil}'],
        'test.py': ['transmamba.py', evil],
        'export_student.py': [evil, 'out.pth'],
        'resume': ['scratch.py', '--resume', evil],
    }
    name = 'train.py' if tool == 'resume' else tool
    assert 'was refused' in refused(run_tool(name, *commands[tool], cwd=folder))
    assert not trace.exists()


def test_missing_config(folder):
    assert 'absent.py' in refused(run_tool('train.py', 'absent.py', cwd=folder))


def test_export_to_an_unknown_format(folder):
    result = run_tool('export_student.py', 'work_dirs/transmamba', 'student.onnx', cwd=folder)
    assert '.safetensors' in refused(result)


def test_cheap_mistakes_of_a_test_are_found_before_its_checkpoint_is_read(tmp_path):
    config = write_scratch(tmp_path)
    result = run_tool('test.py', config, 'absent.pth', '--out', 'metrics.txt', cwd=tmp_path)
    assert '--out metrics.txt has to end in .json' in refused(result)
    config.write_text(f"{config.read_text()}custom_hooks = [dict(typ='EMAHook')]\n")
    result = run_tool('test.py', config, 'absent.pth', cwd=tmp_path)
    assert "custom_hooks[0]={'typ': 'EMAHook'} has no type" in refused(result)
