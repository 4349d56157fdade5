"""More classes than there are, and hits of soft labels, are refused before a training starts."""

from pathlib import Path

import pytest

from transmamba_mm.errors import UserError
from transmamba_mm.launch.preflight import preflight
from transmamba_mm.launch.read_config import read_config

CONFIGS = Path(__file__).parents[2] / 'configs/transmamba'
DIGITS = CONFIGS / 'vim-nano_deit-nano_digits.py'
MIXED = CONFIGS / 'vim-t_deit-t_cifar100.py'  # its student has train_cfg.augments


def said(options: dict, method: str | None = None, leaf: Path = DIGITS, phases=('train', 'val')):
    """The message about classes and hits, without files missing on this disk."""
    try:
        preflight(read_config(leaf, options, method), phases)
    except UserError as error:
        lines = str(error).splitlines()[1:]
        return '\n'.join(line for line in lines if 'topk' in line or 'train_cfg.aug' in line)
    return ''


@pytest.mark.parametrize(('method', 'model'), [(None, 'model.student'), ('scratch', 'model')])
@pytest.mark.parametrize('topk', [11, [1, 100]])
def test_more_of_the_best_classes_than_there_are(method, model, topk):
    for part in (f'{model}.head', 'val_evaluator'):
        message = said({f'{part}.topk': topk}, method)
        assert f'{part}.topk={topk}' in message and f'{model}.head.num_classes=10' in message
    assert said({f'{model}.head.topk': [1, 10], 'val_evaluator.topk': 10}, method) == ''


def test_only_a_phase_that_runs():
    options = {'test_evaluator': [{'type': 'Accuracy', 'topk': (1, 20)}]}
    assert said(options) == ''
    assert 'test_evaluator.0.topk=(1, 20)' in said(options, phases=('test',))


def test_what_a_retrieval_finds_are_no_classes():
    metric = {'_delete_': True, 'type': 'mmpretrain.RetrievalRecall', 'topk': 100}
    assert said({'val_evaluator': metric}) == ''


SOFT = [
    (DIGITS, None, 'model.student', 'data_preprocessor.batch_augments'),
    (DIGITS, 'scratch', 'model', 'data_preprocessor.batch_augments'),
    (MIXED, None, 'model.student', 'model.student.train_cfg.augments'),
    (MIXED, 'scratch', 'model', 'model.train_cfg.augments'),
]


@pytest.mark.parametrize(('leaf', 'method', 'model', 'soft'), SOFT)
def test_hits_of_soft_labels(leaf, method, model, soft):
    def message(**options):
        with pytest.raises(UserError) as error:
            preflight(read_config(leaf, {'load_from': 'absent.pth', **options}, method), ('train',))
        return str(error.value)

    hits = f'{model}.head.cal_acc'
    assert f'{hits}=True' in message(**{hits: True}) and soft in message(**{hits: True})
    assert hits not in message(**{hits: True, soft: None})
    one_hot = {hits: True, soft: None, 'data_preprocessor.to_onehot': True}
    assert 'data_preprocessor.to_onehot makes them soft' in message(**one_hot)


def test_augmentations_that_others_take_the_place_of():
    mixup = {'model.student.train_cfg.augments': [{'type': 'Mixup', 'alpha': 0.8}]}
    message = said(mixup)
    assert 'model.student.train_cfg.augments is not read' in message
    assert 'data_preprocessor.batch_augments' in message


@pytest.mark.parametrize(('method', 'model'), [(None, 'model.student'), ('scratch', 'model')])
@pytest.mark.parametrize('phases', [('train', 'val'), ('test',)])
@pytest.mark.parametrize('how', ['none', 'removed'])
def test_a_classifier_needs_a_head(method, model, phases, how):
    cfg = read_config(DIGITS, method=method)
    owner = cfg.model.student if model == 'model.student' else cfg.model
    if how == 'none':
        owner.head = None
    else:
        del owner['head']
    with pytest.raises(UserError, match=rf'{model} has no head'):
        preflight(cfg, phases)
