"""The examples of docs/extend.md: every file is written, every command runs, for two steps."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.tools.command_line import ROOT, call_tool
from transmamba_mm.launch.read_config import read_config
from transmamba_mm.models.layouts import AdapterLayout
from transmamba_mm.registry import DISTILLERS, METRICS, MODELS
from transmamba_mm.transfer.subcloning.weight_subcloning import WeightSubcloning

TEXT = (ROOT / 'docs/extend.md').read_text()
FILES = dict(re.findall(r'^```python title="(my_project/\S+)"\n(.*?)^```', TEXT, re.M | re.S))
SECTIONS = re.split(r'^## ', TEXT, flags=re.M)[1:]
COMMANDS = {
    section.partition('\n')[0]: [
        shlex.split(line)[1:]
        for block in re.findall(r'^```bash\n(.*?)^```', section, re.M | re.S)
        for line in block.splitlines()
    ]
    for section in SECTIONS
}
SHORT = [
    '--cfg-options',
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'param_scheduler=[]',
    'default_hooks.logger.interval=1',
]


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """A folder with my_project/ beside configs/, from which its modules can be imported."""
    folder = tmp_path_factory.mktemp('extend')
    (folder / 'my_project').mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / 'configs').symlink_to(ROOT / 'configs')
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        for registry in (MODELS, DISTILLERS, METRICS):  # other tests do without what is added
            patch.setattr(registry, '_module_dict', dict(registry._module_dict))
        patch.setattr(AdapterLayout, 'FAMILIES', list(AdapterLayout.FAMILIES))
        yield folder
    for name in [name for name in sys.modules if name.partition('.')[0] == 'my_project']:
        del sys.modules[name]


def train(project: Path, config: str, *options: str) -> Path:
    """Two steps of ``tools/train.py``; the work_dir."""
    done = call_tool('train.py', config, *options, *SHORT, cwd=project)
    assert done.returncode == 0, done.stderr[-2000:]
    method = '-' + Path(options[1]).stem if options else ''
    return project / 'work_dirs' / f'{Path(config).stem}{method}'


@pytest.fixture(scope='module')
def teacher(project):
    train(project, 'configs/teachers/deit-nano_digits.py')


@pytest.mark.parametrize('section', COMMANDS)
def test_commands_run(section, project, teacher):
    assert COMMANDS[section]
    for tool, config, *options in COMMANDS[section]:
        assert tool == 'tools/train.py'
        if config == 'configs/teachers/deit-nano_digits.py':
            continue
        work_dir = train(project, config, *options)
        scalars = next(work_dir.glob('*/vis_data/scalars.json')).read_text().splitlines()
        assert any('loss' in json.loads(line) for line in scalars)
        if 'MixerDistance' in next(work_dir.glob('*.py')).read_text():
            assert any('mixer_loss' in json.loads(line) for line in scalars)


def test_subcloning_reaches_the_new_family(project, teacher):
    """By the table of the first example, whose teacher is that of the second."""
    ours = read_config(project / 'my_project/flat_deit-nano_digits.py').model.student
    theirs = read_config(project / 'my_project/vim-nano_encoder_digits.py').model.teacher.model
    student, encoder = MODELS.build(ours), MODELS.build(theirs)
    report = WeightSubcloning().apply(student, encoder)
    value = encoder.state_dict()['backbone.encoder.layers.3.self_attn.in_proj_weight'][128:]
    taken = student.state_dict()['backbone.blocks.3.mixer.in_proj.weight'][: len(value)]
    assert (taken == value).all()
    assert {line.status for line in report.lines} == {'cloned', 'tiled', 'initialized'}
