import pytest

from transmamba_mm.datasets import FormatChoices
from transmamba_mm.datasets.format_choices import chosen
from transmamba_mm.errors import UserError

CHOICES = ['a dog', 'iron', 'I am B.']


def item(**changes):
    return {'question': ' Which? ', 'choices': CHOICES, 'gt_answer': 1, 'hint': '', **changes}


def test_the_choices_become_text_and_the_answer_a_letter():
    asked = FormatChoices().transform(item())
    assert asked['question'] == 'Which?\nOptions: (A) a dog (B) iron (C) I am B.'
    assert asked['gt_answer'] == 'B'
    asked = FormatChoices().transform(item(hint='Look. '))
    assert asked['question'].split('\n')[:2] == ['Which?', 'Context: Look.']


def test_a_question_without_choices_stays():
    plain = {'question': 'What is it?', 'gt_answer': 'iron'}
    assert FormatChoices().transform(dict(plain)) == plain


@pytest.mark.parametrize('changes', [{'choices': ['one']}, {'gt_answer': 3}, {'gt_answer': None}])
def test_annotations_that_cannot_be_asked_are_named(changes):
    with pytest.raises(UserError, match=r'Which.* correct the annotations'):
        FormatChoices().transform(item(**changes))


@pytest.mark.parametrize(
    'answer, place',
    [
        ('B', 1),
        ('b', 1),
        ('(B)', 1),
        (' B. ', 1),
        ('B. iron', 1),
        ('(b) iron', 1),
        ('iron', 1),
        ('Iron', 1),
        ('a dog', 0),  # an article is not a letter
        ('I am b.', 2),
        ('A: it barks\nloudly', 0),
        ('D', None),
        ('i', None),
        ('a cat', None),
        ('', None),
        ('the answer is B', None),
    ],
)
def test_which_choice_a_text_names(answer, place):
    assert chosen(answer, CHOICES) == place
