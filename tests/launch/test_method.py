"""--method: a config over a transfer's, recorded, loadable by itself, refused if senseless."""

from argparse import Namespace
from copy import deepcopy
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import Registry

from transmamba_mm.errors import UserError
from transmamba_mm.launch.build_runner import build_runner
from transmamba_mm.launch.data_config import type_name
from transmamba_mm.launch.explain import explain
from transmamba_mm.launch.method import methods
from transmamba_mm.launch.preflight import preflight
from transmamba_mm.launch.read_config import read_config
from transmamba_mm.launch.run_config import load_config

CONFIGS = Path(__file__).parents[2] / 'configs'
DIGITS = CONFIGS / 'transmamba/vim-nano_deit-nano_digits.py'
VQA = CONFIGS / 'transmamba/mambavqa-nano_llava-nano_easyvqa.py'
VIDEO = CONFIGS / 'transmamba/videomamba-nano_clip-nano_movingdigits.py'
LLAVA = CONFIGS / 'transmamba/mambavqa-130m_llava-1.5-7b_vqav2.py'
IN1K = CONFIGS / 'transmamba/vim-t_deit-s_in1k.py'
TEACHER = CONFIGS / 'teachers/deit-nano_digits.py'
RETRIEVAL = ('embeddings', 'frames', 'teacher_text', 'logit_scale')
#: Methods and the only entries of the model that they change.
CHANGES = {
    'no_subcloning': (DIGITS, {'subcloning': None}),
    'no_layers': (DIGITS, {'distiller.layer_weight': 0.0}),
    'no_directions': (DIGITS, {'distiller.direction_weight': 0.0}),
    'no_features': (DIGITS, {'distiller.layer_weight': 0.0, 'distiller.direction_weight': 0.0}),
    'affinity': (
        DIGITS,
        {
            'distiller.layer_weight': 0.0,
            'distiller.direction_weight': 0.0,
            'distiller.affinity_weight': 1.0,
        },
    ),
    'masked': (DIGITS, {'distiller.mask_ratio': 0.33, 'distiller.feature_end': 0.5}),
    'wsab_sampled': (DIGITS, {'distiller.layer_stride': 2, 'distiller.token_share': 0.25}),
    'wsab_v2': (DIGITS, {'subcloning.layer_map': {'kind': 'first_n', 'n': 2}}),
    'mimic': (DIGITS, {'subcloning.mimic_scan': True}),
    'scaled': (DIGITS, {'subcloning.calibration': 'scale'}),
    'calibrated': (DIGITS, {'subcloning.calibration': 'attention'}),
    'gates': (DIGITS, {'layer_map': 'alternate'}),
    'softmax': (DIGITS, {'distiller.weighting': 'softmax'}),
    'uniform': (DIGITS, {'distiller.weighting': 'uniform'}),
    'embeddings': (VIDEO, {'distiller.embedding_weight': 10.0}),
    'frames': (
        VIDEO,
        {
            'student.vision.out_type': 'featmap',
            'distiller.embedding_weight': 10.0,
            'distiller.frame_weight': 10.0,
        },
    ),
    'logit_scale': (VIDEO, {'subcloning.logit_scale': True}),
    'concat': (VQA, {'student.cross_mamba': None}),
    'hidden': (VQA, {'student.language.config.bc_from': 'hidden'}),
}


def arguments(config, method=None, **changes):
    given = {'cfg_options': {}, 'work_dir': None, 'launcher': 'none', 'local_rank': 0}
    return Namespace(config=str(config), method=method, **given | changes)


@pytest.mark.parametrize('method', CHANGES)
def test_a_method_changes_what_it_names_alone(method):
    leaf, changes = CHANGES[method]
    plain, changed = read_config(leaf), read_config(leaf, method=method)
    assert (plain.pop('method'), changed.pop('method')) == ('wsab', method)
    plain.merge_from_dict({f'model.{key}': value for key, value in changes.items()})
    assert changed.to_dict() == plain.to_dict()


def test_scratch_is_the_student_with_the_same_data_and_schedule():
    plain, scratch = read_config(DIGITS), read_config(DIGITS, method='scratch')
    assert scratch.pop('model') == plain.pop('model').student
    assert (plain.pop('method'), scratch.pop('method')) == ('wsab', 'scratch')
    assert scratch.to_dict() == plain.to_dict()


@pytest.mark.parametrize('leaf', [DIGITS, VQA, VIDEO], ids=lambda leaf: leaf.stem)
def test_logits_weigh_what_they_weigh_in_the_config_s_own_method(leaf):
    wsab = read_config(leaf).model.distiller
    model = read_config(leaf, method='logits').model
    assert model.subcloning is None
    assert model.distiller == {
        'type': 'transmamba_mm.LogitsDistiller',
        'task_weight': wsab.task_weight,
        'weight': wsab.logits_weight,
    }


@pytest.mark.parametrize(
    ('method', 'type_'), [('fitnets', 'FitNets'), ('ofa', 'OFA'), ('cab', 'CAB')]
)
def test_peers_begin_with_a_student_of_their_own(method, type_):
    wsab, model = (read_config(DIGITS, method=name).model for name in (None, method))
    assert type_name(model.distiller) == type_ and model.subcloning is None
    assert (model.student, model.teacher) == (wsab.student, wsab.teacher)


def test_lift_widens_what_the_head_reads_to_the_teacher():
    model = read_config(IN1K, method='lift').model
    assert (model.student.neck.in_channels, model.student.neck.out_channels) == (192, 384)
    assert model.student.head.in_channels == model.teacher.model.head.in_channels == 384
    assert model.distiller.embedding_weight == 1.0


def test_gates_are_for_the_vision_tower():
    layer_map = read_config(VIDEO, method='gates').model.layer_map
    assert layer_map == {'vision': 'alternate', 'text': 'uniform'}
    with pytest.raises(UserError, match=r'gates\.py does not fit.*subcloning is None.*no block'):
        read_config(LLAVA, method='gates')


def test_blind_leaves_out_the_image_and_its_weights():
    model = read_config(VQA, method='blind').model
    assert model.student.vision is model.student.cross_mamba is None
    assert list(model.subcloning) == ['language']
    assert read_config(LLAVA, method='blind').model.subcloning is None


def test_the_teachers_text_tower_is_copied_and_frozen():
    model = read_config(VIDEO, method='teacher_text').model
    assert type_name(model.student.text) == 'ClipText'
    assert model.student.text.config == model.teacher.model.config.text_config
    assert list(model.layer_map) == ['vision'] and 'text' in model.subcloning
    (stage,) = model.stages
    assert not any(pattern.startswith('text') for pattern in stage.trains)


def test_options_come_after_the_method():
    options = {'model.backbone.drop_path_rate': 0.1}
    cfg = read_config(DIGITS, options, 'scratch')
    assert cfg.model.backbone.drop_path_rate == 0.1


def test_methods_train_in_folders_of_their_own(tmp_path):
    fitting = set(methods(DIGITS)) - {'concat', 'blind', 'hidden', *RETRIEVAL}
    folders = {method: load_config(arguments(DIGITS, method)).work_dir for method in fitting}
    assert len(set(folders.values())) == len(folders)
    assert folders['wsab'] == f'work_dirs/{DIGITS.stem}' == load_config(arguments(DIGITS)).work_dir
    assert folders['scratch'] == f'work_dirs/{DIGITS.stem}-scratch'
    mine = tmp_path / 'mine.py'
    mine.write_text(f"_base_ = '{DIGITS}'\nwork_dir = 'work_dirs/here'\n")
    assert load_config(arguments(mine)).work_dir == 'work_dirs/here'
    assert load_config(arguments(mine, 'logits')).work_dir == 'work_dirs/here-logits'
    assert load_config(arguments(mine, 'logits', work_dir='there')).work_dir == 'there'


def test_the_config_of_a_run_needs_no_method(tmp_path):
    cfg = read_config(VQA, method='blind')
    file = tmp_path / Path(cfg.filename).name
    assert file.name == f'{VQA.stem}-blind.py'
    cfg.dump(str(file))
    assert Config.fromfile(file).to_dict() == cfg.to_dict() == read_config(file).to_dict()
    assert read_config(file, method='blind').to_dict() == cfg.to_dict()
    with pytest.raises(UserError, match=r"has method='blind' already.*--method logits"):
        read_config(file, method='logits')


def test_a_method_of_one_s_own(tmp_path):
    file = tmp_path / 'soft.py'
    file.write_text(
        '_weight = 2 * _base_.model.distiller.task_weight\n'
        "model = dict(distiller=dict(type='mine.Soft', weight=_weight))\n"
        'train_cfg = dict(max_iters=7)\n'
    )
    cfg = read_config(DIGITS, method=str(file))
    assert cfg.method == 'soft' and cfg.train_cfg.max_iters == 7 and '_weight' not in cfg
    assert cfg.train_cfg.val_interval == read_config(DIGITS).train_cfg.val_interval
    assert cfg.model.distiller == {'type': 'mine.Soft', 'weight': 0.4}
    assert cfg.model.subcloning and type_name(cfg.model) == 'KnowledgeTransfer'


def test_a_type_without_its_scope_is_the_same_type(tmp_path):
    file = tmp_path / 'mine.py'
    file.write_text("model = dict(distiller=dict(type='WSAB', layer_weight=2.0))\n")
    wsab = read_config(DIGITS).model.distiller
    changed = read_config(DIGITS, method=str(file)).model.distiller
    assert changed == {**wsab, 'type': 'WSAB', 'layer_weight': 2.0}


def test_methods_of_a_tree_of_one_s_own(tmp_path):
    for folder in ('transmamba', '_base_/methods'):
        (tmp_path / folder).mkdir(parents=True)
    leaf = tmp_path / 'transmamba/mine.py'
    leaf.write_text(f"_base_ = '{DIGITS}'\n")
    (tmp_path / '_base_/methods/last.py').write_text("model = dict(layer_map='last')\n")
    assert read_config(leaf, method='last').model.layer_map == 'last'
    assert set(methods(leaf)) == {*methods(DIGITS), 'last'}


@pytest.mark.parametrize(
    ('leaf', 'method', 'facts'),
    [
        (
            DIGITS,
            'logit',
            ['--method logit is unknown', "mean 'logits'", 'scratch, softmax', '.py file'],
        ),
        (DIGITS, 'absent.py', ['absent.py does not exist']),
        (TEACHER, 'logits', ['--method logits', 'a student and a teacher', TEACHER.name]),
        (TEACHER, 'wsab', ['--method wsab', 'a student and a teacher', TEACHER.name]),
        (DIGITS, 'hidden', ['--method hidden', 'model.student.language']),
        (DIGITS, 'blind', ['--method blind', 'model.student.vision']),
        (DIGITS, 'concat', ['--method concat', 'model.student.cross_mamba']),
        *((DIGITS, name, [f'{name}.py', DIGITS.name]) for name in RETRIEVAL),
        (VIDEO, 'ofa', ['ofa.py', VIDEO.name, 'head']),
        (LLAVA, 'hidden', ['--method hidden', 'model.student.language.config']),
    ],
)
def test_a_method_that_makes_no_sense(leaf, method, facts):
    with pytest.raises(UserError) as error:
        read_config(leaf, method=method)
    assert all(fact in str(error.value) for fact in facts), error.value


@pytest.mark.parametrize('text', ['model = dict(', 'model = _base_.modle', 'import absent'])
def test_a_method_that_cannot_be_executed_is_named(tmp_path, text):
    file = tmp_path / 'mine.py'
    file.write_text(text)
    with pytest.raises(UserError, match=rf'Method {file} .*{DIGITS.name}: \w+Error'):
        read_config(DIGITS, method=str(file))


def test_the_record_is_not_an_option():
    with pytest.raises(UserError, match='--method'):
        read_config(DIGITS, {'method': 'logits'})


@pytest.mark.parametrize('place', ['own file', 'own tree'])
def test_faults_of_a_method_name_its_file(tmp_path, place):
    """A key that preflight refuses, a value that the part refuses, a part that is not there."""
    leaf = tmp_path / 'transmamba/mine.py'
    file = tmp_path / '_base_/methods/soft.py'
    for path in (leaf, file):
        path.parent.mkdir(parents=True)
    leaf.write_text(f'_base_ = {str(DIGITS)!r}\n')
    method = 'soft' if place == 'own tree' else str(file)
    sources = f'{leaf} with --method soft ({file})'

    file.write_text('model = dict(distiller=dict(layer_wieght=2.0))\n')
    with pytest.raises(UserError, match="'layer_wieght'") as error:
        preflight(deepcopy(read_config(leaf, method=method)), ())
    assert str(error.value).startswith(f'{sources} cannot run yet')

    file.write_text('model = dict(distiller=dict(feature_end=7.0))\n')
    cfg = read_config(leaf, method=method)
    cfg.work_dir, cfg.launcher = str(tmp_path / 'run'), 'none'
    build = Registry.build
    try:
        with pytest.raises(UserError) as error:
            build_runner(cfg)
    finally:
        Registry.build = build
    assert explain(error.value).startswith(f'model.distiller (WSAB) of {sources}: feature_end=7.0')

    file.write_text('model = dict(student=dict(language=dict(config=dict())))\n')
    with pytest.raises(UserError, match=r'model\.student\.language') as error:
        read_config(leaf, method=method)
    assert str(file) in str(error.value)
