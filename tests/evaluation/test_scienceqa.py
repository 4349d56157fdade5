"""ScienceQAAccuracy against a count by hand, and against mmpretrain's metric where both agree."""

import pytest
from mmpretrain.evaluation import ScienceQAMetric

from transmamba_mm.errors import UserError
from transmamba_mm.registry import METRICS

CHOICES = ['wood', 'iron', 'glass']
#: pred_answer, gt_answer, grade, subject, hint, has_image
ROWS = [
    ('B', 'B', 'grade1', 'natural science', '', True),
    ('(a) wood', 'A', 'grade8', 'natural science', 'Look.', False),
    ('glass', 'C', 'grade3', 'social science', '', False),
    ('C', 'A', 'grade3', 'language science', '', False),
    ('E', 'A', 'grade12', 'language science', 'Read.', True),
    ('I do not know', 'B', 'grade12', 'social science', '', True),
]
KEYS = ('pred_answer', 'gt_answer', 'grade', 'subject', 'hint', 'has_image')


def samples():
    return [dict(zip(KEYS, row, strict=True), choices=CHOICES) for row in ROWS]


def test_counts_by_hand():
    metric = METRICS.build({'type': 'ScienceQAAccuracy'})
    metric.process(None, samples()[:4])
    metric.process(None, samples()[4:])
    assert metric.evaluate(len(ROWS)) == {
        'vqa/all_acc': 3 / 6,
        'vqa/acc_natural': 1.0,
        'vqa/acc_social': 1 / 2,
        'vqa/acc_language': 0.0,
        'vqa/acc_has_text': 1 / 2,
        'vqa/acc_has_image': 1 / 2,
        'vqa/acc_no_context': 1 / 2,
        'vqa/acc_grade_1_6': 2 / 3,
        'vqa/acc_grade_7_12': 1 / 3,
    }


def test_letters_score_as_in_mmpretrain():
    letters = [sample for sample in samples() if sample['pred_answer'] in ('A', 'B', 'C')]
    ours, theirs = METRICS.build({'type': 'ScienceQAAccuracy'}), ScienceQAMetric()
    ours.process(None, letters)
    theirs.process(None, [{**s, 'gt_answer': 'ABC'.index(s['gt_answer'])} for s in letters])
    expected = theirs.evaluate(len(letters))
    assert ours.evaluate(len(letters)) == {f'vqa/{key}': v for key, v in expected.items()}


@pytest.mark.parametrize('key', ['choices', 'pred_answer'])
def test_a_sample_that_cannot_be_scored_is_refused(key):
    (sample, *_) = samples()
    del sample[key]
    with pytest.raises(UserError, match='needs choices and pred_answer'):
        METRICS.build({'type': 'ScienceQAAccuracy'}).process(None, [sample])
