"""A study trains what is missing, once, each training in its own folder, all equally long."""

import json
from pathlib import Path

import pytest

from transmamba_mm.errors import UserError
from transmamba_mm.study.data_efficiency import DataEfficiencyStudy, has_key

CONFIGS = Path(__file__).parents[2] / 'configs'
STEPS = 6
LEAF = f"""
_base_ = [
    '{CONFIGS}/_base_/datasets/digits.py',
    '{CONFIGS}/_base_/schedules/digits.py',
    '{CONFIGS}/_base_/runtimes/digits.py',
]
model = dict(
    type='KnowledgeTransfer',
    teacher=dict(model=dict(type='ImageClassifier'), checkpoint='teacher.pth'),
    student=dict(
        type='ImageClassifier',
        backbone=dict(
            type='VisionTransformer',
            arch=dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16),
            img_size=8,
            patch_size=4,
            in_channels=1,
        ),
        head=dict(
            type='VisionTransformerClsHead',
            num_classes=10,
            in_channels=16,
            loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        ),
    ),
)
param_scheduler = []
train_dataloader = dict(batch_size=8)
train_cfg = dict(max_iters={STEPS}, val_interval=3)
default_hooks = dict(checkpoint=dict(interval=3), logger=dict(interval=2))
"""


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """A config tree with one transfer and a method of its own, which is scratch again."""
    root = tmp_path_factory.mktemp('tree') / 'configs'
    for folder in ('transmamba', '_base_/methods'):
        (root / folder).mkdir(parents=True)
    (root / 'transmamba/s_t_d.py').write_text(LEAF)
    (root / '_base_/methods/again.py').write_text('model = _base_.model.student\n')
    return root


def make(tree, **changes):
    settings = {
        'config': str(tree / 'transmamba/s_t_d.py'),
        'fractions': [0.1, 1],
        'seeds': [0],
        'methods': ['scratch', 'again'],
        'work_dir': str(tree.parent / 'study'),
    }
    return DataEfficiencyStudy(**{**settings, **changes})


@pytest.fixture(scope='module')
def records(tree):
    return make(tree).run(workers=2)


def test_every_cell_is_trained_equally_long(records):
    assert [(r.method, r.fraction, r.seed) for r in records] == [
        ('scratch', 1, 0),
        ('again', 1, 0),
        ('scratch', 0.1, 0),
        ('again', 0.1, 0),
    ]
    assert {record.steps for record in records} == {STEPS}
    assert all(0 <= record.accuracy <= 100 for record in records)
    assert len({record.work_dir for record in records}) == 4


def test_same_config_and_seed_give_the_same_number(records):
    by_fraction = {
        r.fraction: {s.accuracy for s in records if s.fraction == r.fraction} for r in records
    }
    assert [len(accuracies) for accuracies in by_fraction.values()] == [1, 1]


def test_nothing_is_run_twice(tree, records, capsys):
    logs = {path: path.stat().st_mtime_ns for path in tree.parent.glob('study/**/output.log')}
    assert len(logs) == 4
    assert make(tree).run() == records
    assert logs == {path: path.stat().st_mtime_ns for path in logs}
    assert '4 of 4 trainings were done before' in capsys.readouterr().out
    stored = json.loads((tree.parent / 'study/study.json').read_text())
    assert [row['accuracy'] for row in stored] == [record.accuracy for record in records]


def test_an_interrupted_training_is_resumed(tree, records):
    folder = Path(records[0].work_dir)
    (folder / 'result.json').unlink()
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_6.pth'))
    assert make(tree).run()[0].accuracy == records[0].accuracy
    assert 'resumed' in (folder / 'output.log').read_text()


def test_a_changed_config_is_not_mixed_in(tree, records):
    with pytest.raises(UserError, match=r'another config.*--work-dir'):
        make(tree, options={'train_dataloader.batch_size': 4}).run()


def test_a_failing_training_names_its_log(tree):
    study = make(
        tree,
        fractions=[1],
        methods=['scratch'],
        work_dir=str(tree.parent / 'failing'),
        options={'model.backbone.patch_size': 'two'},
    )
    with pytest.raises(UserError, match=r'scratch/100%/seed0 failed(.|\n)*output\.log'):
        study.run()
    assert 'Traceback' in (tree.parent / 'failing/scratch/100/seed0/output.log').read_text()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'methods': ['scratch', 'agian']}, "--method agian .*Did you mean 'again'"),
        ({'fractions': [1, 1.5]}, r'\(0, 1\]'),
        ({'options': {'model.wings': 2}}, 'No config of this study has .model.wings'),
        ({'options': {'train_cfg.max_iters': None}}, 'equal number of steps'),
        ({'options': {'train_dataloader.dataset.type': 'CIFAR10'}}, 'CIFAR10 .* takes no fraction'),
    ],
)
def test_mistakes_are_found_before_anything_runs(tree, changes, message):
    with pytest.raises(UserError, match=message):
        make(tree, work_dir=str(tree.parent / 'never'), **changes).run()
    assert not (tree.parent / 'never').exists()


def test_a_teacher_that_no_config_trains(tree):
    study = make(tree, methods=['wsab'], options={'model.teacher.checkpoint': 'work_dirs/teacher'})
    with pytest.raises(UserError, match=r'teachers/t_d\.py .*<student>_<teacher>_<data>'):
        study.run()


def test_a_method_of_one_s_own_file_has_its_name(tree, tmp_path):
    file = tmp_path / 'mine.py'
    file.write_text('model = _base_.model.student\n')
    study = make(tree, methods=[str(file)])
    cfg = study.load(str(file))
    job = study.trial(str(file), 1, 0, cfg, None)
    assert (cfg.method, job.name) == ('mine', 'mine/100%/seed0')
    assert job.load().method == 'mine' and 'teacher' not in job.load().model


def test_teacher_and_its_order():
    study = DataEfficiencyStudy(
        config=str(CONFIGS / 'transmamba/vim-nano_deit-nano_digits.py'),
        fractions=[1],
        seeds=[0],
        work_dir='work_dirs/study',
    )
    configs = {method: study.load(method) for method in study.methods}
    (teacher,) = study.teacher_jobs(configs)
    assert teacher.config.endswith('configs/teachers/deit-nano_digits.py')
    assert teacher.work_dir == 'work_dirs/deit-nano_digits'
    needs = {m: study.trial(m, 1, 0, configs[m], teacher).needs for m in study.methods}
    assert needs == {'scratch': None, 'logits': 'teacher', 'wsab': 'teacher'}


def test_a_teacher_from_a_file_is_not_trained():
    study = DataEfficiencyStudy(
        config=str(CONFIGS / 'transmamba/vim-nano_deit-nano_digits.py'),
        fractions=[1],
        seeds=[0],
        work_dir='work_dirs/study',
        options={'model.teacher.checkpoint': 'somewhere/deit.pth'},
    )
    assert study.teacher_jobs({'wsab': study.load('wsab')}) == []


def shipped(name: str) -> DataEfficiencyStudy:
    """A study of one of the project's own configs."""
    config = Path(__file__).parents[2] / f'configs/transmamba/{name}.py'
    return DataEfficiencyStudy(config=str(config), fractions=[0.75], seeds=[0], work_dir='nowhere')


def test_vision_encoder_of_a_teacher_is_trained_before_it():
    study = shipped('mambavqa-nano_llava-nano_easyvqa')
    jobs = study.teacher_jobs({'wsab': study.load('wsab')})
    assert [(Path(job.config).stem, job.work_dir, job.needs) for job in jobs] == [
        ('clip-vision-nano_easyvqa', 'work_dirs/clip-vision-nano_easyvqa', None),
        ('llava-nano_easyvqa', 'work_dirs/llava-nano_easyvqa', 'vision encoder'),
    ]


def test_has_key():
    config = {'a': {'b': [{'c': None}]}}
    assert has_key(config, 'a.b.0.c')
    assert not has_key(config, 'a.b.1.c')
    assert not has_key(config, 'a.b.c')
    assert not has_key(config, 'a.b.0.c.d')


def test_moving_digits_can_be_thinned_out():
    study = shipped('videomamba-nano_clip-nano_movingdigits')
    study.check({method: study.load(method) for method in study.methods})
