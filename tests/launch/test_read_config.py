"""Every top-level name of a config, and every option, has a reader, or is refused."""

import sys
from pathlib import Path

import pytest

from transmamba_mm.errors import UserError
from transmamba_mm.launch.preflight import preflight
from transmamba_mm.launch.read_config import KNOWN_KEYS, read_config

CONFIGS = Path(__file__).parents[2] / 'configs'
VIM = CONFIGS / 'transmamba/vim-nano_deit-nano_digits.py'
CLIP = CONFIGS / 'transmamba/videomamba-nano_clip-nano_movingdigits.py'

#: Options on names that are copied, or read nowhere, and the entry that is meant.
MEANT = [
    (VIM, 'distiller.layer_weight', 'model.distiller.layer_weight'),
    (VIM, 'student.backbone.arch', 'model.student.backbone.arch'),
    (VIM, 'teacher.checkpoint', 'model.teacher.checkpoint'),
    (VIM, 'layer_map', 'model.layer_map'),
    (VIM, 'subcloning.rules', 'model.subcloning.rules'),
    (VIM, 'lr', 'optim_wrapper.optimizer.lr'),
    (VIM, 'seed', 'randomness.seed'),
    (VIM, 'max_iters', 'train_cfg.max_iters'),
    (VIM, 'batch_size', 'train_dataloader.batch_size'),
    (VIM, 'weight_decay', 'optim_wrapper.optimizer.weight_decay'),
    (VIM, 'clip_grad.max_norm', 'optim_wrapper.clip_grad.max_norm'),
    (VIM, 'optimizer.lr', 'optim_wrapper.optimizer.lr'),
    (VIM, 'vis_backends', 'visualizer.vis_backends'),
    (VIM, 'pixel_mean', 'data_preprocessor.mean.0'),
    (VIM, 'optim_wraper.optimizer.lr', "Did you mean 'optim_wrapper'"),
    (CLIP, 'teacher_model.temporal.num_layers', 'model.teacher.model.temporal.num_layers'),
    (CLIP, 'vision_config.hidden_size', 'model.teacher.model.config.vision_config.hidden_size'),
    (CLIP, 'train_pipeline', 'train_dataloader.dataset.pipeline'),
    (CLIP, 'foo.bar', 'not read by anything'),
]


def refusal(run) -> str:
    with pytest.raises(UserError) as error:
        run()
    return str(error.value)


@pytest.mark.parametrize(('leaf', 'option', 'meant'), MEANT, ids=lambda value: str(value)[-40:])
def test_option_that_nothing_reads_is_refused_with_the_one_that_is_meant(leaf, option, meant):
    message = refusal(lambda: read_config(leaf, {option: 1}))
    assert repr(option) in message and meant in message


def child(folder: Path, text: str, base: Path = VIM, name: str = 'child.py') -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'_base_ = {str(base)!r}\n{text}\n')
    return file


@pytest.mark.parametrize(
    ('text', 'meant'),
    [
        ('distiller = dict(layer_weight=0.9)', 'model.distiller'),
        ('student = dict(backbone=dict(arch="tiny"))', 'model.student'),
        ('layer_map = [0, 1, 2, 3, 4, 5]', 'model.layer_map'),
        ('subcloning = None', 'model.subcloning'),
        ('lr = 0.1', 'optim_wrapper.optimizer.lr'),
        ('max_iters = 7', 'train_cfg.max_iters'),
        ('train_datalaoder = dict(batch_size=3)', 'train_dataloader'),
        ('verbose = True', 'not read by anything'),
    ],
)
def test_child_that_sets_what_nothing_reads_is_refused(tmp_path, text, meant):
    cfg = read_config(child(tmp_path, text))
    message = refusal(lambda: preflight(cfg, ()))
    assert repr(text.partition(' ')[0]) in message and meant in message


def test_variables_of_ones_own_keep_working(tmp_path):
    middle = child(
        tmp_path, 'width, rate = 64, 1e-3\noptim_wrapper = dict(optimizer=dict(lr=rate))'
    )
    last = child(
        tmp_path,
        'model = dict(student=dict(head=dict(in_channels=_base_.width)))',
        middle,
        'last.py',
    )
    cfg = read_config(last, {'model.distiller.layer_weight': 0.5})
    assert cfg.optim_wrapper.optimizer.lr == 1e-3 and cfg.model.student.head.in_channels == 64
    assert set(cfg) <= set(KNOWN_KEYS) and cfg.model.distiller.layer_weight == 0.5
    preflight(cfg, ())
    # What is dumped is what a run reads, and can be run again.
    cfg.dump(tmp_path / 'dumped.py')
    assert read_config(tmp_path / 'dumped.py').to_dict() == cfg.to_dict()


def test_configs_of_other_formats(tmp_path):
    (tmp_path / 'child.yml').write_text('_base_: child.json\nlr: 3\n')
    read_config(VIM).dump(tmp_path / 'child.json')
    assert 'optim_wrapper.optimizer.lr' in refusal(
        lambda: preflight(read_config(tmp_path / 'child.yml'), ())
    )


def test_a_config_that_is_not_there_is_named_with_the_one_that_is_meant():
    absent = CONFIGS / 'transmamba/vim-nano_deit_digits.py'
    with pytest.raises(UserError) as caught:
        read_config(absent)
    facts = (absent.name, "Did you mean 'vim-nano_deit-nano_digits.py'")
    assert all(fact in str(caught.value) for fact in facts)


def test_a_config_in_a_folder_that_is_not_there_is_named_with_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r'config/a\.py cannot be read: config is not a folder'):
        read_config('config/a.py')


INSTALLED = 'transmamba_mm::_base_/students'
#: Entries of ``_base_``, and what the message has besides the child and the entry.
NOT_THERE = {
    './parts/dat.py': ["Did you mean 'data.py'"],
    './parts/data': ["Did you mean 'data.py'"],
    './prts/data.py': ['prts is not a folder', "Did you mean 'parts'"],
    './parts': ['parts is a folder'],
    '': ['is a folder'],
    f'{INSTALLED}/vim-nan.py': ["Did you mean 'vim-nano.py'"],
    'mmpretrain::vision_transformer/vit-base-p16_32xb128-mae_in1.py': ['vit-base-p16_32xb128-mae'],
    'unknown::a.py': ['unknown'],
    3: ['no path'],
    None: ['no path'],
}


@pytest.mark.parametrize('depth', ['leaf', 'base of a base'])
@pytest.mark.parametrize('entry', NOT_THERE)
def test_a_missing_base_is_named_with_the_config_that_needs_it(tmp_path, entry, depth):
    (tmp_path / 'parts').mkdir()
    (tmp_path / 'parts/data.py').write_text('train_cfg = dict(max_iters=3)\n')
    wants = tmp_path / 'wants.py'
    wants.write_text(f'_base_ = ["./parts/data.py", {entry!r}]\n')
    leaf = child(tmp_path, '', wants) if depth != 'leaf' else wants
    message = refusal(lambda: read_config(leaf))
    assert message.startswith(f'{leaf} cannot be read: {wants} has _base_={entry!r}')
    assert all(fact in message for fact in NOT_THERE[entry]), message


def test_configs_that_inherit_from_each_other(tmp_path):
    first = child(tmp_path, '', tmp_path / 'second.py', 'first.py')
    second = child(tmp_path, '', first, 'second.py')
    message = refusal(lambda: read_config(first))
    assert f'{second} inherits from {first}, which inherits from it' in message


@pytest.mark.parametrize('where', ['config', 'method', 'options'])
def test_custom_imports_are_imported_wherever_they_are_listed(where, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    module = f'own_{where}'
    (tmp_path / f'{module}.py').write_text('')
    imports = {'imports': ['transmamba_mm', module]}
    (tmp_path / 'child.py').write_text(f'_base_ = {str(VIM)!r}\ncustom_imports = {imports!r}')
    (tmp_path / 'other.py').write_text(f'custom_imports = {imports!r}')
    file = tmp_path / 'child.py' if where == 'config' else VIM
    method = str(tmp_path / 'other.py') if where == 'method' else None
    options = {'custom_imports.imports': imports['imports']} if where == 'options' else None
    monkeypatch.delitem(sys.modules, module, raising=False)
    read_config(file, options, method=method)
    assert sys.modules.pop(module)


@pytest.mark.parametrize(
    ('imports', 'facts'),
    [
        ({'imports': ['my_project.models']}, ['my_project.models', 'PYTHONPATH']),
        ({'imports': ['transmamba_mm.typo']}, ['transmamba_mm.typo']),
        ({'imports': 5}, ['int']),
        ({'import': ['os']}, ["'import'"]),
    ],
)
def test_custom_imports_that_fail_are_named(imports, facts, tmp_path):
    (tmp_path / 'child.py').write_text(f'_base_ = {str(VIM)!r}\ncustom_imports = {imports!r}')
    message = refusal(lambda: read_config(tmp_path / 'child.py'))
    assert all(fact in message for fact in ['child.py', 'custom_imports', *facts])
