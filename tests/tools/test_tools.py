"""The tools end to end, on a transfer of a few steps."""

import json
import shutil

import pytest
import torch

from tests.tools.command_line import LEAF, run_tool
from transmamba_mm.checkpoint import load_checkpoint, load_state_dict
from transmamba_mm.convert import to_official
from transmamba_mm.launch.signed_config import is_own_config
from transmamba_mm.registry import MODELS

pytestmark = pytest.mark.slow


def metrics(trained, tmp_path, config, checkpoint) -> dict:
    out = tmp_path / 'metrics.json'
    result = run_tool('test.py', trained / config, checkpoint, '--out', out, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    return json.loads(out.read_text())


def test_train_leaves_student_projectors_and_report_but_no_teacher(trained):
    checkpoint = load_checkpoint(trained / 'work_dirs/transmamba')
    assert {key.partition('.')[0] for key in checkpoint['state_dict']} == {'student', 'distiller'}
    assert len(list((trained / 'work_dirs/transmamba').rglob('transfer_report.json'))) == 1


def test_resume_continues_at_the_right_step(trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    changes = ['train_cfg.max_iters=6', 'train_cfg.val_interval=6']
    result = run_tool(
        'train.py', 'transmamba.py', '--resume', '--cfg-options', *changes, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert 'iter: 4' in result.stdout and '[5/6]' in result.stdout
    assert '[4/6]' not in result.stdout
    assert load_checkpoint(tmp_path / 'work_dirs/transmamba')['meta']['iter'] == 6


def test_resume_past_the_end_leaves_the_work_dir_as_it_was(trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    files = {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
    options = ['--resume', '--cfg-options', 'train_cfg.max_iters=2']
    result = run_tool('train.py', 'transmamba.py', *options, cwd=tmp_path)
    assert result.returncode == 1 and 'iter 4' in result.stderr and 'max_iters=2' in result.stderr
    assert files == {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}


def test_config_that_training_and_testing_leave_is_known_as_one_s_own(trained, tmp_path):
    assert is_own_config(trained / 'work_dirs/transmamba/transmamba.py')
    metrics(trained, tmp_path, 'transmamba.py', trained / 'work_dirs/transmamba')
    assert is_own_config(tmp_path / 'work_dirs/transmamba/transmamba.py')


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_exported_student_is_the_plain_model(trained, tmp_path, suffix):
    out = tmp_path / f'student{suffix}'
    result = run_tool('export_student.py', trained / 'work_dirs/transmamba', out, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert 'parameters' in result.stdout
    student, whole = load_state_dict(out), load_state_dict(trained / 'work_dirs/transmamba')
    assert all(torch.equal(value, whole[f'student.{key}']) for key, value in student.items())
    alone = metrics(trained, tmp_path, 'scratch.py', out)
    within = metrics(trained, tmp_path, 'transmamba.py', trained / 'work_dirs/transmamba')
    assert alone == within
    assert metrics(trained, tmp_path, out.with_suffix('.py'), out) == within


def test_convert_writes_a_checkpoint_of_ours(tmp_path):
    arch = {'embed_dims': 16, 'num_layers': 2, 'state_dims': 4}
    model = MODELS.build(
        {
            'type': 'mmpretrain.ImageClassifier',
            'backbone': {'type': 'transmamba_mm.Vim', 'arch': arch, 'img_size': 32},
            'head': {'type': 'LinearClsHead', 'num_classes': 5, 'in_channels': 16},
        }
    )
    weights = model.state_dict()
    torch.save({'model': to_official('vim', weights)}, tmp_path / 'official.pth')
    result = run_tool('convert.py', 'vim', 'official.pth', 'ours.safetensors', cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    ours = load_state_dict(tmp_path / 'ours.safetensors')
    assert ours.keys() == weights.keys()
    assert all(torch.equal(ours[key], weights[key]) for key in weights)


def test_print_config_resolves_what_a_config_inherits(trained, tmp_path):
    result = run_tool(
        'print_config.py',
        trained / 'transmamba.py',
        '--cfg-options',
        'model.layer_map=last',
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert (
        "type='transmamba_mm.KnowledgeTransfer'" in result.stdout
        and "layer_map='last'" in result.stdout
    )


def test_print_config_checks_the_parts_as_training_does(tmp_path):
    options = ['--method', 'logits', '--cfg-options', 'model.distiller.wieght=2']
    result = run_tool('print_config.py', LEAF, *options, cwd=tmp_path)
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    facts = ('methods/logits.py', "model.distiller: LogitsDistiller takes no 'wieght'", "'weight'")
    assert all(fact in result.stderr for fact in facts), result.stderr
    assert 'wieght=2' in result.stdout


@pytest.mark.parametrize('tool', ['dist_train', 'dist_test', 'slurm_train'])
def test_script_without_arguments_shows_its_use(tool, tmp_path):
    result = run_tool(f'{tool}.sh', cwd=tmp_path)
    assert result.returncode == 1
    assert f'tools/{tool}.sh' in result.stdout
