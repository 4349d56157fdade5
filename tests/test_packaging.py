"""The wheel contains the files that OpenMMLab needs, and works away from the repository."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
import torch

from transmamba_mm.models import Vim
from transmamba_mm.openmmlab import MAINTAINED, MODULES, UPSTREAM
from transmamba_mm.weights_file import save_weights

ROOT = Path(__file__).parents[1]
SOURCES = ('setup.py', 'pyproject.toml', 'model-index.yml', 'LICENSE', 'README.md', 'requirements')
VIM = {'arch': {'embed_dims': 16, 'num_layers': 2, 'state_dims': 4}, 'img_size': 32}
# A project whose model registry is neither ours nor an ancestor of ours, as mmdet's.
DETECTOR = """
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope, Registry
from mmengine.runner import load_checkpoint

registry = Registry('model', parent=MODELS, scope='some_detector')
cfg = Config.fromfile('detector.py')
with DefaultScope.overwrite_default_scope('some_detector'):
    backbone = registry.build(cfg.backbone).eval()
load_checkpoint(backbone, 'student.pth', strict=True, revise_keys=[('^backbone[.]', '')])
torch.save(backbone(torch.load('images.pt'))[0], 'features.pt')
"""


@pytest.fixture(scope='module')
def installed(tmp_path_factory) -> Path:
    """A folder like site-packages, with nothing but the unpacked wheel."""
    source = tmp_path_factory.mktemp('source')
    ignored = shutil.ignore_patterns('__pycache__', '.mim')
    for name in (*SOURCES, 'transmamba_mm', 'configs', 'tools'):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source / name)
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '-w']
    subprocess.run([*command, source / 'dist', source], check=True, capture_output=True)
    site = tmp_path_factory.mktemp('site')
    (wheel,) = (source / 'dist').glob('*.whl')
    zipfile.ZipFile(wheel).extractall(site)
    return site


@pytest.mark.slow
def test_wheel_has_configs_tools_index_and_sources(installed):
    mim = installed / 'transmamba_mm/.mim'
    expected = {path.relative_to(ROOT) for path in (ROOT / 'configs').rglob('*.py')}
    assert {path.relative_to(mim) for path in (mim / 'configs').rglob('*.py')} == expected
    for name in ('tools/train.py', 'tools/dist_train.sh', 'model-index.yml'):
        assert (mim / name).is_file()
    assert list((installed / 'transmamba_mm/ops/csrc').glob('*.cpp'))
    assert not (installed / 'tests').exists()


@pytest.mark.slow
def test_config_is_inherited_from_the_wheel_by_its_name(installed, tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = 'transmamba_mm::transmamba/vim-t_deit-t_in1k.py'\n")
    script = (
        'import transmamba_mm; from mmengine.config import Config;'
        'from transmamba_mm.launch.read_config import read_config;'
        'print(transmamba_mm.__file__, Config.fromfile("mine.py").model.student.backbone.arch);'
        'print(read_config("mine.py", method="scratch").model.backbone.arch)'
    )
    result = subprocess.run(
        [sys.executable, '-c', script],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(installed)},
        capture_output=True,
        text=True,
    )
    package = str(installed / 'transmamba_mm/__init__.py')
    assert result.stdout.split() == [package, 'tiny', 'tiny'], result.stderr


@pytest.mark.slow
def test_exported_student_is_used_by_name_in_another_project(tmp_path):
    """``custom_imports`` and one prefix suffice."""
    student = Vim(**VIM).eval()
    student.init_weights()
    images = torch.randn(2, 3, 32, 32)
    weights = {f'backbone.{key}': value for key, value in student.state_dict().items()}
    save_weights(weights, tmp_path / 'student.pth')
    torch.save(images, tmp_path / 'images.pt')
    (tmp_path / 'detector.py').write_text(
        "custom_imports = dict(imports=['transmamba_mm'], allow_failed_imports=False)\n"
        f"backbone = dict(type='transmamba_mm.Vim', **{VIM!r})\n"
    )
    command = [sys.executable, '-c', DETECTOR]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    with torch.no_grad():
        assert torch.equal(torch.load(tmp_path / 'features.pt'), student(images)[0])


# A scan of one channel and one state with decay exp(-1) and unit inputs, written out.
SCAN = """
import math, sys, torch
from transmamba_mm.ops import selective_scan
ones = torch.ones(1, 1, 3)
y = selective_scan(ones, ones, -torch.ones(1, 1), torch.ones(1, 1), torch.ones(1, 1))
decay = math.exp(-1)
expected = torch.tensor([1, 1 + decay, 1 + decay + decay**2])
torch.testing.assert_close(y[0, 0], expected)
print(sorted({name.split('.')[0] for name in sys.modules} & {'mmengine', 'mmcv', 'mmpretrain'}))
"""


@pytest.fixture(scope='module')
def without_openmmlab(installed, tmp_path_factory):
    """Run a script beside the wheel and everything installed here but OpenMMLab and ourselves."""
    links = tmp_path_factory.mktemp('links')
    left_out = ('mm', 'onedl', 'transmamba', '__editable__', '__pycache__')
    for entry in Path(sysconfig.get_path('purelib')).iterdir():
        if not entry.name.startswith(left_out) and entry.suffix != '.pth':
            (links / entry.name).symlink_to(entry)

    def run(script: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, '-S', '-c', script],
            cwd=links,
            env={**os.environ, 'PYTHONPATH': f'{installed}{os.pathsep}{links}'},
            capture_output=True,
            text=True,
        )

    return run


@pytest.mark.slow
def test_the_wheel_alone_names_both_families_of_openmmlab(without_openmmlab):
    done = without_openmmlab('import transmamba_mm')
    assert done.returncode == 0 and 'Traceback' not in done.stderr
    for name in (*MODULES, *MAINTAINED, *UPSTREAM):
        assert name in done.stderr
    done = without_openmmlab('import transmamba_mm.models')
    assert done.returncode == 1 and MAINTAINED[0] in done.stderr


@pytest.mark.slow
def test_the_scan_works_without_openmmlab(without_openmmlab):
    done = without_openmmlab(SCAN)
    assert done.stdout.strip() == '[]', done.stderr


@pytest.mark.parametrize(
    ('name', 'family'), [('mminstall', MAINTAINED), ('mminstall-upstream', UPSTREAM)]
)
def test_the_message_and_the_requirements_agree(name, family):
    lines = (ROOT / f'requirements/{name}.txt').read_text().splitlines()
    assert [line.partition('#')[0].strip() for line in lines if line[0] != '#'] == [*family]


@pytest.mark.slow
def test_metadata_of_the_wheel(installed):
    (file,) = installed.glob('*.dist-info/METADATA')
    metadata = message_from_string(file.read_text(encoding='utf-8'))
    assert metadata.get_payload().startswith((ROOT / 'README.md').read_text()[:200])
    assert metadata['Description-Content-Type'] == 'text/markdown'
    assert metadata['Author'] == 'The TransMamba-MM authors'
    assert not metadata.get_all('Home-page') and not metadata.get_all('Project-URL')
    classifiers = metadata.get_all('Classifier')
    assert {f'Programming Language :: Python :: 3.{minor}' for minor in (10, 11, 12, 13)} <= {
        *classifiers
    }
    assert 'easy-vqa' in metadata.get_all('Requires-Dist')
    assert (installed / 'transmamba_mm/py.typed').is_file()
