"""Faults that would stop a run are found before it starts, in one message."""

import pytest
from mmengine.config import Config

from transmamba_mm.errors import UserError
from transmamba_mm.launch.preflight import preflight


def problems(cfg: dict, *phases: str) -> str:
    """The message that preflight raises, empty when it is content."""
    try:
        preflight(Config(cfg), phases)
    except UserError as error:
        return str(error)
    return ''


def loader(**dataset) -> dict:
    return {'dataset': dataset}


@pytest.mark.parametrize(
    ('key', 'meant'),
    [
        ('train_datalaoder', 'train_dataloader'),
        ('optim_wraper', 'optim_wrapper'),
        ('param_schedulers', 'param_scheduler'),
        ('custom_hook', 'custom_hooks'),
        ('defualt_scope', 'default_scope'),
    ],
)
def test_misspelt_key_is_named_with_the_one_that_was_meant(key, meant):
    assert f"{key!r} is not read by anything. Did you mean '{meant}'?" in problems({key: {}})


@pytest.mark.parametrize('role', ['student', 'teacher', 'distiller', 'subcloning'])
def test_parts_of_a_transfer_are_dicts(role):
    transfer = {'type': 'KnowledgeTransfer', 'subcloning': None}
    assert f"model.{role}='x': write dict(" in problems({'model': transfer | {role: 'x'}})
    towers = {'subcloning': {'vision': {'type': 'WeightSubcloning'}, 'text': 'x'}}
    assert "model.subcloning.text='x': write dict(" in problems({'model': transfer | towers})
    assert problems({'model': transfer}) == ''


def test_every_problem_is_in_one_message(tmp_path):
    message = problems(
        {
            'train_dataloader': loader(type='ImageNet', data_root=str(tmp_path), split='train'),
            'val_dataloader': loader(type='ImageNet', data_root=str(tmp_path), split='val'),
            'model': {
                'type': 'KnowledgeTransfer',
                'student': {'backbone': {'type': 'Vim', 'img_size': 225, 'patch_size': 16}},
                'teacher': {'model': {}, 'checkpoint': str(tmp_path / 'teacher.pth')},
            },
        },
        'train',
        'val',
    )
    assert [line.split('.')[0].strip() for line in message.splitlines()[1:]] == list('1234')
    assert str(tmp_path / 'train') in message and str(tmp_path / 'val') in message
    assert 'image-net.org' in message
    assert '225 pixels is not covered by patches of 16' in message
    assert str(tmp_path / 'teacher.pth') in message


def test_only_the_phases_that_run_need_their_data(tmp_path):
    cfg = {'val_dataloader': loader(type='ImageNet', data_root=str(tmp_path), split='val')}
    assert problems(cfg, 'train') == ''
    assert 'does not exist' in problems(cfg, 'val')


def test_empty_folder_is_distinguished_from_a_missing_one(tmp_path):
    cfg = {'train_dataloader': loader(type='CustomDataset', data_root=str(tmp_path))}
    assert f'{tmp_path} is empty' in problems(cfg, 'train')
    (tmp_path / 'image.png').touch()
    assert problems(cfg, 'train') == ''


def test_data_inside_a_wrapper_is_checked(tmp_path):
    inner = {'type': 'CustomDataset', 'data_root': str(tmp_path / 'absent')}
    repeated = {'type': 'RepeatDataset', 'times': 2, 'dataset': inner}
    cfg = {'train_dataloader': loader(type='ConcatDataset', datasets=[repeated])}
    assert f'{tmp_path / "absent"} does not exist' in problems(cfg, 'train')


@pytest.mark.parametrize(
    ('kind', 'archive'),
    [('CIFAR100', 'cifar-100-python.tar.gz'), ('CIFAR10', 'cifar-10-python.tar.gz')],
)
def test_cifar_comes_with_the_command_that_gets_it(tmp_path, kind, archive):
    cfg = {'train_dataloader': loader(type=kind, data_root=str(tmp_path))}
    assert archive in problems(cfg, 'train')


QUESTIONS = {
    'COCOVQA': ('https://visualqa.org', {'question_file': 'questions.json'}),
    'GQA': ('https://cs.stanford.edu', {}),
    'TextVQA': ('https://textvqa.org', {}),
    'ScienceQA': (
        'ScienceQA',
        {'split': 'train', 'split_file': 'splits.json', 'data_prefix': {'img_path': 'images'}},
    ),
    'LlavaInstruct': ('LLaVA-Instruct-150K', {'data_prefix': {'img_path': 'images'}}),
}


@pytest.mark.parametrize('kind', QUESTIONS)
def test_each_missing_file_of_questions_is_named(tmp_path, kind):
    source, more = QUESTIONS[kind]
    dataset = {'ann_file': 'answers.json', 'data_prefix': 'images', **more}
    cfg = {'train_dataloader': loader(type=kind, data_root=str(tmp_path), **dataset)}
    names = ['answers.json', *(name for name in more.values() if str(name).endswith('.json'))]
    message = problems(cfg, 'train')
    assert source in message and len(message.splitlines()) == 2
    assert all(f'{tmp_path / name} does not exist' in message for name in [*names, 'images'])
    for name in names:
        (tmp_path / name).write_text('[]')
    assert f'{kind} data: {tmp_path}/images does not exist. ' in problems(cfg, 'train')
    (tmp_path / 'images').mkdir()
    assert f'{tmp_path / "images"} is empty' in problems(cfg, 'train')
    (tmp_path / 'images/a.jpg').touch()
    assert problems(cfg, 'train') == ''


VIDEOS = {
    'MSRVTT': ('MSRVTT_train.9k.csv', 'MSRVTT_data.json', 'videos', 'msrvtt_data.zip'),
    'DiDeMo': ('train_list.txt', 'train_data.json', 'videos', 'LocalizingMoments'),
    'MovingDigits': ('train/captions.jsonl', 'train/videos', 'make_moving_digits.py --out {root}'),
}


@pytest.mark.parametrize('kind', VIDEOS)
def test_missing_videos_and_captions_come_with_what_to_do(tmp_path, kind):
    *names, help_text = VIDEOS[kind]
    cfg = {'train_dataloader': loader(type=kind, data_root=str(tmp_path), split='train')}
    message = problems(cfg, 'train')
    assert all(f'{tmp_path / name} does not exist' in message for name in names)
    assert help_text.format(root=tmp_path) in message
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if name.endswith('videos'):
            (tmp_path / name / 'video0').mkdir(parents=True)
        else:
            (tmp_path / name).write_text('x')
    assert problems(cfg, 'train') == ''


def test_folder_of_videos_in_the_config_is_the_one_checked(tmp_path):
    dataset = {'data_root': str(tmp_path), 'data_prefix': {'video_path': 'clips'}}
    cfg = {'train_dataloader': loader(type='VideoCaptions', **dataset)}
    message = problems(cfg, 'train')
    assert f'{tmp_path}/captions.jsonl does not' in message and f'{tmp_path}/clips does' in message


def test_default_folder_and_split_that_does_not_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = {'val_dataloader': loader(type='MSRVTT', split='test', partition='full')}
    message = problems(cfg, 'val')
    assert 'data/msrvtt/MSRVTT_data.json does not exist' in message
    assert f'searched {tmp_path}' in message
    for kind in ('MovingDigits', 'MovingDigitsCls'):
        message = problems({'val_dataloader': loader(type=kind, split='test')}, 'val')
        assert 'data/moving_digits/test/captions.jsonl does not exist' in message
    cfg = {'val_dataloader': loader(type='MSRVTT', split='val')}
    assert "split='val' of MSRVTT 1k-A" in problems(cfg, 'val')


def test_data_sets_in_memory_need_no_folder():
    assert problems({'train_dataloader': loader(type='Digits', split='train')}, 'train') == ''


@pytest.mark.parametrize(
    ('backbone', 'covered'),
    [
        ({'img_size': 224, 'patch_size': 16}, True),
        ({'img_size': 224, 'patch_size': 16, 'patch_stride': 8}, True),
        ({'img_size': 224, 'patch_size': 16, 'patch_stride': 9}, False),
        ({'img_size': (224, 100), 'patch_size': 16}, False),
        ({'img_size': 8, 'patch_size': 16}, False),
        ({'depth': 50}, True),
        *(({'img_size': odd, 'patch_size': 16}, True) for odd in (0.5, '8', [None])),
        ({'img_size': 8, 'patch_size': 0}, True),  # the constructor refuses these
    ],
)
@pytest.mark.parametrize('role', ['model', 'student', 'teacher'])
def test_image_and_patch_sizes(backbone, covered, role):
    model = {
        'model': {'backbone': backbone},
        'student': {'student': {'backbone': backbone}},
        'teacher': {'student': {}, 'teacher': {'model': {'backbone': backbone}}},
    }[role]
    message = problems({'model': model})
    assert (message == '') is covered
    assert covered or f'{role}: an image side' in message


@pytest.mark.parametrize(('begin', 'late'), [(19, False), (20, True)])
@pytest.mark.parametrize(('by_epoch', 'key'), [(True, 'max_epochs'), (False, 'max_iters')])
def test_schedule_that_begins_after_the_end(begin, late, by_epoch, key):
    schedule = {'type': 'CosineAnnealingLR', 'by_epoch': by_epoch, 'begin': begin}
    cfg = {'param_scheduler': [schedule], 'train_cfg': {'by_epoch': by_epoch, key: 20}}
    assert (f'CosineAnnealingLR begins at {begin}' in problems(cfg, 'train')) is late


def test_weights_are_only_needed_for_training(tmp_path):
    absent = str(tmp_path / 'absent.pth')
    cfg = {'model': {'student': {}, 'teacher': {'checkpoint': absent}}, 'load_from': absent}
    assert problems(cfg, 'test') == ''
    message = problems(cfg, 'train')
    assert 'load_from' in message and 'model.teacher.checkpoint' in message


def test_teacher_that_is_not_trained_yet_comes_with_the_command_that_trains_it(tmp_path):
    leaf, recipe = tmp_path / 'transmamba/leaf.py', tmp_path / 'teachers/deit-nano.py'
    for file in (leaf, recipe):
        file.parent.mkdir()
        file.write_text("model = dict(student={}, teacher=dict(checkpoint='work_dirs/deit-nano'))")
    with pytest.raises(UserError, match=rf'tools/train\.py {recipe}'):
        preflight(Config.fromfile(leaf), ('train',))


def test_url_in_the_cache_is_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    cached = tmp_path / 'hub/checkpoints/deit.pth'
    cached.parent.mkdir(parents=True)
    cached.touch()
    teacher = {'checkpoint': 'https://example.invalid/deit.pth'}
    assert problems({'model': {'student': {}, 'teacher': teacher}}, 'train') == ''


def test_hook_without_a_type():
    hooks = [{'type': 'A'}, {'typ': 'B'}]
    assert "custom_hooks[1]={'typ': 'B'} has no type" in problems({'custom_hooks': hooks})
    assert 'custom_hooks[0]=None has no type' in problems({'custom_hooks': [None]})
    defaults = {'logger': {'interval': 5}, 'timer': None, 'checkpoint': {'type': 'C'}}
    message = problems({'default_hooks': defaults})
    assert 'default_hooks.logger=' in message and message.count('has no type') == 1


@pytest.mark.parametrize('kind', ['DecodeVideo', 'transmamba_mm.LoadImage'])
@pytest.mark.parametrize('phase', ['val', 'test'])
def test_evaluation_that_would_leave_something_out(kind, phase):
    def said(step, phase=phase):
        dataset = {
            'type': 'CustomDataset',
            'pipeline': [{'type': kind, **step}, {'type': 'PackInputs'}],
        }
        repeated = {'type': 'RepeatDataset', 'times': 1, 'dataset': dataset}
        return problems({f'{phase}_dataloader': {'dataset': repeated}}, phase)

    name = kind.rpartition('.')[2]
    for step in ({}, {'on_bad': 'skip'}):
        assert f"{phase}_dataloader: {name} has on_bad='skip'" in said(step)
    assert said({'on_bad': 'raise'}) == said({'on_bad': 'mark'}) == ''
    assert said({}, 'train') == ''


@pytest.mark.parametrize(
    ('best', 'evaluators', 'meant'),
    [
        ('vqa/acuracy', ['VQAExactMatch', 'VQAAcc'], 'vqa/accuracy'),
        ('retrieval/t2v_r1', ['RetrievalRecall'], 'retrieval/t2v_R1'),
        ('accurracy/top1', ['mmpretrain.Accuracy'], ''),
    ],
)
def test_best_by_what_no_metric_reports(best, evaluators, meant):
    def said(best):
        hooks = {'checkpoint': {'type': 'CheckpointHook', 'save_best': best}}
        metrics = [{'type': kind} for kind in evaluators]
        metrics = metrics[0] if len(metrics) == 1 else metrics
        return problems({'default_hooks': hooks, 'val_evaluator': metrics}, 'train')

    assert f'save_best={best!r}' in said(best)
    assert not meant or (f'Did you mean {meant!r}?' in said([best]) and said(meant) == '')
    assert said('auto') == said(None) == ''


@pytest.mark.parametrize('best', ['VQA/acc', 'VQA/anything', 'vqa/accuracy_yes_no'])
def test_best_by_what_a_metric_may_report(best):
    hooks = {'checkpoint': {'type': 'CheckpointHook', 'save_best': best}}
    metrics = [{'type': 'VQAExactMatch'}, {'type': 'VQAAcc'}]
    assert problems({'default_hooks': hooks, 'val_evaluator': metrics}, 'train') == ''
    # What a metric without a prefix reports is not known before it runs.
    metrics = [{'type': 'MultiTasksMetric', 'task_metrics': {}}]
    assert problems({'default_hooks': hooks, 'val_evaluator': metrics}, 'train') == ''


@pytest.mark.parametrize(('kind', 'meant'), [('AdmW', 'AdamW'), ('Lam', 'Lamb'), ('AdamW', '')])
def test_optimizer_that_there_is_not(kind, meant):
    message = problems({'optim_wrapper': {'optimizer': {'type': kind, 'lr': 0.1}}}, 'train')
    hint = f"type='{kind}' is not a known optimizer. Did you mean '{meant}'?"
    assert (hint in message) is bool(meant)
    assert meant or message == ''
