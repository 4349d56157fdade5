"""VQAExactMatch: what counts as right, the two kinds of questions, errors, beside VQAAcc."""

import pytest
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample

from transmamba_mm.errors import UserError
from transmamba_mm.evaluation import VQAExactMatch


def sample(predicted: object, true: object) -> DataSample:
    result = DataSample()
    result.set_field(predicted, 'pred_answer')
    result.set_field(true, 'gt_answer')
    return result


def scores(*pairs: tuple[object, object], metric: str = 'VQAExactMatch') -> dict[str, float]:
    init_default_scope('transmamba_mm')
    evaluator = Evaluator({'type': metric})
    evaluator.process([sample(*pair) for pair in pairs])
    return evaluator.evaluate(len(pairs))


def test_accuracy_of_each_kind():
    values = scores(('yes', 'yes'), ('no', 'yes'), ('no', 'no'), ('teal', 'red'), ('red', 'red'))
    assert values == {
        'vqa/accuracy': pytest.approx(60),
        'vqa/accuracy_yes_no': pytest.approx(200 / 3),
        'vqa/accuracy_not_yes_no': pytest.approx(50),
    }


def test_kind_without_questions_is_left_out():
    assert scores(('yes', 'yes')) == {'vqa/accuracy': 100, 'vqa/accuracy_yes_no': 100}
    assert scores(('red', 'teal')) == {'vqa/accuracy': 0, 'vqa/accuracy_not_yes_no': 0}


@pytest.mark.parametrize(
    ('predicted', 'true', 'right'),
    [
        (' Red\n', 'red', True),
        ('light  BLUE', 'light blue', True),
        ('lightblue', 'light blue', False),
        ('a circle', 'circle', False),
        ('red.', 'red', False),
        ('', 'red', False),
        ('two', ['2', 'Two'], True),
        ('yes', ['no', 'maybe'], False),
    ],
)
def test_what_is_right(predicted, true, right):
    assert scores((predicted, true))['vqa/accuracy'] == 100 * right


def test_list_is_yes_no_if_all_of_it_is():
    assert 'vqa/accuracy_yes_no' in scores(('yes', ['Yes', 'no']))
    assert 'vqa/accuracy_not_yes_no' in scores(('yes', ['yes', 'maybe']))


def test_vqa_acc_of_mmpretrain_reads_the_same_samples():
    pairs = [('Yes', 'yes'), ('no', 'yes'), ('teal ', 'teal'), ('red', ['red'])]
    assert scores(*pairs, metric='VQAAcc')['VQA/acc'] == scores(*pairs)['vqa/accuracy'] == 75


@pytest.mark.parametrize('predicted', [None, 3])
def test_no_prediction(predicted):
    with pytest.raises(UserError, match='pred_answer'):
        scores((predicted, 'yes'))


@pytest.mark.parametrize('true', [None, '', []])
def test_no_true_answer(true):
    with pytest.raises(UserError, match=r'gt_answer.*algorithm_keys'):
        VQAExactMatch().process(None, [{'pred_answer': 'yes', 'gt_answer': true}])
