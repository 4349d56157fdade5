"""A study trains what is missing, once, each run in its own folder, and keeps a line of each."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from transmamba_mm.errors import UserError
from transmamba_mm.study.design import Block, Regime, Tuned
from transmamba_mm.study.lines import read_lines
from transmamba_mm.study.study import Study
from transmamba_mm.study.study_configs import has_key

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
VIM = str(CONFIGS / 'transmamba/vim-nano_deit-nano_digits.py')


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """A config tree with one transfer and a method of its own, which is scratch again."""
    root = tmp_path_factory.mktemp('tree') / 'configs'
    for folder in ('transmamba', '_base_/methods'):
        (root / folder).mkdir(parents=True)
    (root / 'transmamba/s_t_d.py').write_text(LEAF)
    (root / '_base_/methods/again.py').write_text('model = _base_.model.student\n')
    return root


def block(tree, **changes):
    settings = {
        'configs': [str(tree / 'transmamba/s_t_d.py')],
        'methods': ['scratch', 'again'],
        'fractions': [1, 0.1],
    }
    return Block(**{**settings, **changes})


def make(tree, folder='study', blocks=None, **changes):
    return Study(
        blocks=blocks or {'both': block(tree), 'small': block(tree, fractions=[0.1])},
        results=str(tree.parent / folder / 'lines.jsonl'),
        work_dir=str(tree.parent / folder / 'runs'),
        **changes,
    )


@pytest.fixture(scope='module')
def lines(tree):
    return make(tree).run(['both'], workers=2)


def test_every_run_is_a_line(tree, lines):
    assert [(line['method'], line['fraction'], line['seed']) for line in lines] == [
        ('scratch', 1, 0),
        ('again', 1, 0),
        ('scratch', 0.1, 0),
        ('again', 0.1, 0),
    ]
    stored = read_lines(tree.parent / 'study/lines.jsonl')
    assert sorted(map(json.dumps, stored)) == sorted(map(json.dumps, lines))
    for line in lines:
        assert (line['steps'], line['images'], line['config']) == (STEPS, 8 * STEPS, 's_t_d')
        assert [step for step, _ in line['val_curve']] == [3, STEPS]
        assert line['val_curve'][-1][1] == line['val']['accuracy/top1']
        assert 0 <= line['test']['accuracy/top1'] <= 100
        assert line['cpu_seconds'] > 0 and len(line['config_hash']) == 64 and line['commit']
        assert (line['regime'], line['options']) == (None, {})


def test_same_config_and_seed_give_the_same_number(lines):
    for fraction in (1, 0.1):
        values = {str((r['val'], r['test'])) for r in lines if r['fraction'] == fraction}
        assert len(values) == 1


def test_nothing_is_run_twice_whichever_block_it_is_in(tree, lines, capsys):
    logs = {path: path.stat().st_mtime_ns for path in tree.parent.glob('study/**/output.log')}
    assert len(logs) == 4
    assert make(tree).run(['small', 'both']) == [*lines[2:], *lines[:2]]
    assert logs == {path: path.stat().st_mtime_ns for path in logs}
    assert '4 of 4 trainings were done before' in capsys.readouterr().out
    assert len(read_lines(tree.parent / 'study/lines.jsonl')) == 4


def test_an_interrupted_training_is_resumed(tree, lines):
    """Its checkpoint of step 3 and the line of another run are all there is."""
    file = tree.parent / 'study/lines.jsonl'
    before = file.read_text()
    folder = tree.parent / 'study/runs/s_t_d/scratch/100/seed0'
    (folder / 'result.json').unlink()
    (folder / 'iter_6.pth').unlink()
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_3.pth'))
    file.write_text(''.join(f'{json.dumps(line)}\n' for line in lines[1:]))
    again = make(tree).run(['both'])[0]
    assert {key: again[key] for key in ('val', 'test', 'val_curve')} == {
        key: lines[0][key] for key in ('val', 'test', 'val_curve')
    }
    assert 'resumed' in (folder / 'output.log').read_text()
    file.write_text(before)


def test_a_finished_training_whose_line_was_not_written(tree, lines):
    file = tree.parent / 'study/lines.jsonl'
    before = file.read_text()
    file.write_text('')
    assert make(tree).run(['both'])[1:] == lines[1:]  # the first one was trained again above
    assert len(read_lines(file)) == 4
    file.write_text(before)


def test_a_changed_config_is_not_mixed_in(tree, lines):
    changed = make(tree, options={'train_dataloader.batch_size': 4})
    file = tree.parent / 'study/lines.jsonl'
    before = file.read_text()
    file.write_text('')
    with pytest.raises(UserError, match=r'another config.*delete'):
        changed.run(['both'])
    file.write_text(before)


def test_a_failing_training_does_not_stop_the_others(tree):
    trials = [{'model.backbone.patch_size': 'two'}, {}]
    study = make(tree, 'failing', {'b': block(tree, methods=['scratch'], trials=trials)})
    with pytest.raises(UserError, match=r'patch_size=two failed(.|\n)*output\.log') as caught:
        study.run(['b'], workers=1)
    log = Path(str(caught.value).split('Its log: ')[1].splitlines()[0])
    assert 'Traceback' in log.read_text()
    assert [line['options'] for line in study.lines('b')] == [{}, {}]


def test_choices_never_see_the_test_set(tree):
    study = make(tree, 'choices', {'b': block(tree, methods=['scratch'], test=False)})
    assert [line['test'] for line in study.run(['b'])] == [None, None]


@pytest.mark.parametrize(
    ('changes', 'options', 'message'),
    [
        ({'methods': ['scratch', 'agian']}, {}, "--method agian .*Did you mean 'again'"),
        ({'fractions': [1, 1.5]}, {}, r'fractions=\[1, 1\.5\]'),
        ({}, {'model.wings': 2}, 'No config of this study has .model.wings'),
        ({}, {'train_cfg.max_iters': None}, 'counts epochs'),
        ({}, {'train_dataloader.dataset.type': 'CIFAR10'}, 'CIFAR10 .* takes no fraction'),
        ({'regime': 'Z'}, {}, "regime='Z' of block 'b'"),
    ],
)
def test_mistakes_are_found_before_anything_runs(tree, changes, options, message):
    with pytest.raises(UserError, match=message):
        make(tree, 'never', {'b': block(tree, **changes)}, options=options).run(['b'])
    assert not (tree.parent / 'never').exists()


def test_an_unknown_block(tree):
    with pytest.raises(UserError, match=r"block='headlines' .*both"):
        make(tree).run(['headlines'])


def test_a_method_of_one_s_own_file_has_its_name(tree, tmp_path):
    file = tmp_path / 'mine.py'
    file.write_text('model = _base_.model.student\n')
    study = make(tree, blocks={'b': block(tree, methods=[str(file)], fractions=[1])})
    (run,) = study.runs(['b'])
    job = study.job(run, None)
    assert (run.line['method'], job.name) == ('mine', 's_t_d/mine/100%/seed0')
    assert job.load().method == 'mine' and 'teacher' not in job.load().model


def test_pairs_come_together_and_early(tree):
    study = make(tree, blocks={'b': block(tree, seeds=[0, 1], fractions=[0.1, 1])})
    found = [(run.seed, run.fraction, run.method) for run in study.runs(['b'])]
    assert found[:4] == [
        (0, 0.1, 'scratch'),
        (0, 0.1, 'again'),
        (0, 1, 'scratch'),
        (0, 1, 'again'),
    ]
    assert len(found) == 8


# -- tuned options and teachers ----------------------------------------------------------------


def shipped(config=VIM, **changes):
    """A study of one of the project's own configs, by three methods."""
    regimes = {
        'C': Regime(),
        'B': Regime(options={'train_dataloader.dataset.split': 'train'}, own_data=True),
    }
    methods = ['scratch', 'logits', 'wsab']
    blocks = {
        'c': Block([config], methods, [0.75]),
        'b': Block([config], methods, [0.75], [3], regime='B'),
    }
    return Study(blocks, 'nowhere.jsonl', 'nowhere', regimes, **changes)


def test_options_of_tuning_are_those_of_the_runs_they_fit():
    tuned = [
        Tuned({}, {'optim_wrapper.optimizer.weight_decay': 0.1}),
        Tuned({'method': 'scratch', 'fraction': 0.75}, {'optim_wrapper.optimizer.lr': 4e-3}),
        Tuned({'method': 'wsab', 'fraction': 1}, {'optim_wrapper.optimizer.lr': 9.0}),
    ]
    study = shipped(tuned=tuned)
    scratch, _, wsab = study.runs(['c'])
    assert wsab.options == {'optim_wrapper.optimizer.weight_decay': 0.1}
    optimizer = study.job(scratch, None).load().optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (4e-3, 0.1)
    trials = [{'optim_wrapper.optimizer.lr': 1.0}]
    tuning = Study({'t': Block([VIM], ['scratch'], trials=trials)}, 'n', 'n', tuned=tuned[:2])
    (run,) = tuning.runs(['t'])
    assert run.options == {
        'optim_wrapper.optimizer.weight_decay': 0.1,
        'optim_wrapper.optimizer.lr': 1.0,
    }


def test_teacher_of_a_regime():
    study = shipped()
    teachers = [study.teacher_jobs(run) for run in study.runs(['c'])]
    assert teachers[0] == []  # scratch
    ((job, line),) = teachers[1]
    assert job.config.endswith('configs/teachers/deit-nano_digits.py')
    assert (job.work_dir, job.options) == ('work_dirs/deit-nano_digits', {})
    assert (line['config'], line['method'], line['regime']) == ('deit-nano_digits', None, 'C')
    assert teachers[2][0][0] == job


@pytest.mark.parametrize('fraction', [0.125, 0.005])
def test_a_point_in_the_name_of_a_teacher_makes_it_no_file(fraction):
    study = shipped()
    _, logits, _ = study.runs(['b'])
    ((job, line),) = study.teacher_jobs(replace(logits, fraction=fraction))
    assert job.work_dir.endswith(f'-B-{100 * fraction:g}-seed3')
    assert line['fraction'] == fraction


def test_teacher_on_the_student_s_own_images():
    study = shipped()
    scratch, logits, _ = study.runs(['b'])
    assert (scratch.regime, logits.regime) == (None, 'B')
    ((job, line),) = study.teacher_jobs(logits)
    assert job.options == {
        'train_dataloader.dataset.split': 'train',
        'train_dataloader.dataset.fraction': 0.75,
        'train_dataloader.dataset.seed': 3,
        'randomness.seed': 3,
    }
    assert (line['fraction'], line['seed'], line['regime']) == (0.75, 3, 'B')
    assert study.job(logits, job.name).load().model.teacher.checkpoint == job.work_dir
    assert study.job(scratch, None).options.keys().isdisjoint({'model.teacher.checkpoint'})
    dataset = study.job(logits, job.name).load().train_dataloader.dataset
    assert (dataset.fraction, dataset.seed) == (0.75, 3)


def test_a_teacher_from_a_file_is_not_trained():
    study = shipped(options={'model.teacher.checkpoint': 'somewhere/deit.pth'})
    assert [study.teacher_jobs(run) for run in study.runs(['c'])] == [[], [], []]


def test_a_teacher_that_no_config_trains(tree):
    options = {'model.teacher.checkpoint': 'work_dirs/teacher'}
    study = make(tree, 'never', {'b': block(tree, methods=['wsab'])}, options=options)
    with pytest.raises(UserError, match=r'teachers/t_d\.py .*<student>_<teacher>_<data>'):
        study.run(['b'])


def test_vision_encoder_of_a_teacher_is_trained_before_it():
    study = shipped(str(CONFIGS / 'transmamba/mambavqa-nano_llava-nano_easyvqa.py'))
    run = study.runs(['c'])[-1]
    jobs = [job for job, _ in study.teacher_jobs(run)]
    assert [(Path(job.config).stem, job.work_dir, job.needs) for job in jobs] == [
        ('clip-vision-nano_easyvqa', 'work_dirs/clip-vision-nano_easyvqa', None),
        ('llava-nano_easyvqa', 'work_dirs/llava-nano_easyvqa', 'clip-vision-nano_easyvqa'),
    ]


def test_moving_digits_can_be_thinned_out():
    study = shipped(str(CONFIGS / 'transmamba/videomamba-nano_clip-nano_movingdigits.py'))
    study.check(study.runs(['c']))


def test_has_key():
    config = {'a': {'b': [{'c': None}]}}
    assert has_key(config, 'a.b.0.c')
    assert not has_key(config, 'a.b.1.c')
    assert not has_key(config, 'a.b.c')
    assert not has_key(config, 'a.b.0.c.d')


# -- files ---------------------------------------------------------------------------------------


def test_study_from_a_file(tmp_path):
    file = tmp_path / 'mine.py'
    file.write_text(
        f"_vim = '{VIM}'\nresults = 'r.jsonl'\n"
        'regimes = dict(C=dict(), B=dict(own_data=True))\n'
        "tuned = [dict(where=dict(method='scratch'), options={'a.b': 1})]\n"
        "blocks = dict(first=dict(configs=[_vim], methods=['scratch'], seeds=[0, 1]))\n"
    )
    study = Study.from_file(file)
    assert (study.results, study.work_dir) == ('r.jsonl', 'work_dirs/studies/mine')
    assert study.blocks == {'first': Block([VIM], ['scratch'], seeds=[0, 1])}
    assert study.regimes['B'].own_data and study.tuned == [Tuned({'method': 'scratch'}, {'a.b': 1})]
    assert [run.options for run in study.runs(['first'])] == [{'a.b': 1}] * 2


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ("results = 'r'\nblock = dict()", r"has no block.*Did you mean 'blocks'"),
        ("results = 'r'\nblocks = dict(x=dict(methods=['scratch']))", 'configs'),
        ("results = 'r'\nblocks = dict(x=dict(config='a'))", r'blocks\.x .*has no config'),
        ("results = 'r'\nblocks = dict(x=1)", r'blocks\.x .*has to be a dict'),
    ],
)
def test_mistakes_in_a_file(tmp_path, text, message):
    file = tmp_path / 'mine.py'
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        Study.from_file(file)


def test_a_broken_line_is_named(tmp_path):
    file = tmp_path / 'r.jsonl'
    file.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(UserError, match=r'r\.jsonl, line 2'):
        read_lines(file)


@pytest.mark.parametrize(
    ('where', 'message'),
    [
        ({'config': VIM}, 'config=.* of where of tuned'),
        ({'method': 'wsbb'}, 'wsbb'),
        ({'regime': 'D'}, "regime='D'"),
        ({'sed': 1}, 'sed'),
    ],
)
def test_tuned_options_for_runs_that_no_block_has(where, message):
    with pytest.raises(UserError, match=message):
        shipped(tuned=[Tuned(where, {})])
