"""Every leaf of the config tree resolves, is short, and matches its name."""

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmpretrain import get_model

from tests.configs.decay import check_decay
from tests.configs.runs import GATED, LEAVES, TRANSFERS, load, run_id, runs_of
from transmamba_mm import registry
from transmamba_mm.errors import UserError
from transmamba_mm.launch.data_config import type_name
from transmamba_mm.launch.read_config import KNOWN_KEYS, read_config
from transmamba_mm.registry import DATASETS, HOOKS, SCOPE

ROOT = Path(__file__).parents[2]
#: Classes of labeled images. All other data are files that may be damaged: images beside
#: questions, videos beside captions.
CLASSES = {
    'in1k': 1000,
    'in100': 100,
    'cifar100': 100,
    'digits': 10,
    'fashionmnist': 10,
    'solarcells': 4,
}


def data_of(leaf: Path) -> str:
    return leaf.stem.rpartition('_')[2].partition('-')[0]


#: Of classifiers; test_vqa_recipes and test_retrieval_recipes are about the others.
CLASSIFIERS = [leaf for leaf in TRANSFERS if data_of(leaf) in CLASSES]
#: Neither too small to mean anything nor in need of checkpoints from a hub; without a teacher, one
#: of each student and data.
BUILDABLE = [
    (leaf, None)
    for leaf in LEAVES
    if data_of(leaf) != 'digits' and (data_of(leaf) in CLASSES or '-nano' in leaf.stem)
]
BUILDABLE += {
    (leaf.stem.partition('_')[0], data_of(leaf)): (leaf, 'scratch')
    for leaf, _ in BUILDABLE
    if leaf.parent.name == 'transmamba'
}.values()
BUILDABLE += [run for run in runs_of('*_easyvqa.py') if run[1] not in (None, 'scratch')]
TYPED = [*((leaf, None) for leaf in LEAVES), *runs_of('*-nano_*-nano_*.py')]
#: Widths that the heads read.
STUDENTS = {
    'vim-nano': ('Vim', 64),
    'vim-micro': ('Vim', 96),
    'vim-t': ('Vim', 192),
    'vim-s': ('Vim', 384),
    'vmamba-nano': ('VMamba', 96),
    'vmamba-micro': ('VMamba', 144),
    'vmamba-t': ('VMamba', 768),
    'plainmamba-nano': ('PlainMamba', 64),
    'plainmamba-micro': ('PlainMamba', 96),
    'plainmamba-l1': ('PlainMamba', 192),
    'videomamba-nano': ('VideoMamba', 64),
    'videomamba-t': ('VideoMamba', 192),
}
TEACHERS = {
    'deit-nano': 64,
    'deit-micro': 96,
    'deit-t': 192,
    'deit-s': 384,
    'deit-b': 768,
    'swin-t': 768,
}


def ids(leaf: Path) -> str:
    return str(leaf.relative_to(ROOT / 'configs'))


@pytest.mark.parametrize('leaf', LEAVES, ids=ids)
def test_leaf_is_short_and_complete(leaf):
    assert len(leaf.read_text().splitlines()) <= 50
    cfg = Config.fromfile(leaf)
    assert cfg.default_scope == 'transmamba_mm'
    for key in ('model', 'data_preprocessor', 'train_dataloader', 'val_evaluator', 'optim_wrapper'):
        assert key in cfg and key in KNOWN_KEYS
    watches = 'LabelRangeHook' if data_of(leaf) in CLASSES else 'CorruptSampleHook'
    assert {type_name(hook) for hook in cfg.custom_hooks} >= {'NonFiniteLossHook', watches}
    assert all(HOOKS.get(hook.type) for hook in cfg.custom_hooks)
    assert DATASETS.get(cfg.train_dataloader.dataset.type)
    assert 'clip_grad' in cfg.optim_wrapper


def types_in(part):
    """All names of types in a config."""
    if isinstance(part, dict):
        yield from (part['type'],) if isinstance(part.get('type'), str) else ()
        part = part.values()
    if not isinstance(part, str) and isinstance(part, Iterable):
        for value in part:
            yield from types_in(value)


@pytest.fixture(scope='module')
def our_types():
    """The names of all our classes: what mmpretrain's scope has no, or another, class for."""
    ours = [part for part in vars(registry).values() if getattr(part, 'scope', None) == SCOPE]
    for part in ours:
        part.import_from_location()
    return {name for part in ours for name in part.module_dict}


@pytest.mark.parametrize('run', TYPED, ids=run_id)
def test_our_types_have_their_scope_and_no_others(run, our_types):
    """mmpretrain's tools read a config in its own scope, whatever the config's is."""
    names = {name.partition('.')[::2] for name in types_in(load(run).to_dict())}
    assert not {name for name, rest in names if not rest} & our_types
    assert {rest for name, rest in names if name == SCOPE} <= our_types


@pytest.mark.parametrize('leaf', CLASSIFIERS, ids=ids)
def test_name_matches_student_teacher_and_data(leaf):
    student, teacher, data = leaf.stem.split('_')
    cfg = read_config(leaf)
    model = cfg.model
    assert type_name(model) == 'KnowledgeTransfer'
    expected = ('AttentionSwap', TEACHERS[teacher]) if student == 'swap' else STUDENTS[student]
    assert (type_name(model.student.backbone), model.student.head.in_channels) == expected
    assert model.teacher.model.head.in_channels == TEACHERS[teacher]
    classes = CLASSES[data]
    assert model.student.head.num_classes == classes
    assert model.teacher.model.head.num_classes == classes
    assert cfg.data_preprocessor.num_classes == classes
    assert cfg.method == 'wsab' and type_name(model.distiller) == 'WSAB' and model.subcloning
    logits = read_config(leaf, method='logits').model
    assert type_name(logits.distiller) == 'LogitsDistiller' and logits.subcloning is None
    scratch = read_config(leaf, method='scratch')
    assert scratch.pop('model') == model.student and scratch.pop('method') == 'scratch'
    assert all(scratch[key] == cfg[key] for key in scratch)


UNGATED = [leaf for leaf in TRANSFERS if leaf.match('*nano_*s.py') or leaf.match('*easyvqa.py')]
UNGATED = [leaf for leaf in UNGATED if leaf.stem.partition('-')[0] not in GATED]


@pytest.mark.parametrize('leaf', UNGATED, ids=ids)
def test_students_without_gates_are_refused(leaf):
    with pytest.raises(UserError, match=r"'attention of \d'.* takes a teacher layer whole"):
        registry.MODELS.build(load((leaf, 'gates')).model)


@pytest.mark.parametrize('run', BUILDABLE, ids=run_id)
def test_recipe_builds_and_decays_matrices_alone(run):
    cfg, leaf = load(run), run[0]
    # No weights, but for Swin, which computes its stochastic depth with tensors, and models of
    # transformers.
    computes = 'swin' in leaf.stem or data_of(leaf) not in CLASSES
    device = torch.device('cpu' if computes else 'meta')
    with device:
        model = get_model(cfg)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    check_decay(model, wrapper.optimizer)


def test_package_index_lists_every_student():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    models = [
        model
        for metafile in index['Import']
        for model in yaml.safe_load((ROOT / metafile).read_text())['Models']
    ]
    assert {m['Config'] for m in models} == {str(leaf.relative_to(ROOT)) for leaf in TRANSFERS}
    for model in models:
        assert model['Name'] == Path(model['Config']).stem
        task = model['Results'][0]['Task']
        assert (task == 'Image Classification') is (data_of(Path(model['Config'])) in CLASSES)
