"""Accuracy of answers, overall and without the yes/no questions."""

from collections.abc import Sequence

from mmengine.evaluator import BaseMetric

from transmamba_mm.errors import UserError
from transmamba_mm.registry import METRICS

YES_NO = {'yes', 'no'}


@METRICS.register_module()
class VQAExactMatch(BaseMetric):
    """Share of questions, in percent, that are answered with exactly a true answer.

    Case and white space do not matter, everything else does: unlike mmpretrain's ``VQAAcc``, which
    rewrites numbers, drops articles and punctuation and weighs the agreement among annotators.
    Reads ``pred_answer`` (str) and ``gt_answer`` (str, or a list of accepted answers) of each
    sample.

    Reports ``accuracy`` over all questions, ``accuracy_yes_no`` over those whose true answers are
    all yes or no, and ``accuracy_not_yes_no`` over the others; a kind without questions is left
    out.

    Args:
        collect_device (str): Where results of several processes meet, ``'cpu'`` or ``'gpu'``.
        prefix (str, optional): What the names of the values begin with. Defaults to ``'vqa'``.

    Raises:
        UserError: If a sample has no predicted or no true answer.
    """

    default_prefix = 'vqa'
    NAMES = ('accuracy', 'accuracy_yes_no', 'accuracy_not_yes_no')

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Note for each sample whether it is right and whether it is a yes/no question."""
        for sample in data_samples:
            predicted, true = sample.get('pred_answer'), sample.get('gt_answer')
            if not isinstance(predicted, str):
                raise UserError(
                    f'VQAExactMatch needs pred_answer, a string, in every sample, not {predicted!r}'
                    ': use it with a model that answers questions.'
                )
            if not true:
                raise UserError(
                    'VQAExactMatch needs gt_answer in every sample: add it to algorithm_keys of '
                    'PackInputs, and evaluate on a split whose answers are public.'
                )
            answers = {plain(text) for text in ([true] if isinstance(true, str) else true)}
            self.results.append((plain(predicted) in answers, answers <= YES_NO))

    def compute_metrics(self, results: list[tuple[bool, bool]]) -> dict[str, float]:
        """Average over all questions and over the two kinds."""
        kinds = {
            'accuracy': [right for right, _ in results],
            'accuracy_yes_no': [right for right, yes_no in results if yes_no],
            'accuracy_not_yes_no': [right for right, yes_no in results if not yes_no],
        }
        return {name: 100 * sum(kind) / len(kind) for name, kind in kinds.items() if kind}


def plain(answer: str) -> str:
    """An answer in one case, with single spaces inside and none around."""
    return ' '.join(answer.casefold().split())
