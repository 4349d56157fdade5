"""Accuracy on multiple-choice questions."""

from collections.abc import Sequence

from mmpretrain.evaluation import ScienceQAMetric

from transmamba_mm.datasets.format_choices import chosen
from transmamba_mm.errors import UserError
from transmamba_mm.registry import METRICS


@METRICS.register_module()
class ScienceQAAccuracy(ScienceQAMetric):
    """mmpretrain's ``ScienceQAMetric`` for answers of text, as ``FormatChoices`` asks for them.

    A choice is named by its letter or in its words. An answer that names none is wrong; mmpretrain
    draws lots for it, so that the same answers get another score each time. Reads ``pred_answer``,
    ``choices``, ``gt_answer`` (a letter), ``grade``, ``subject``, ``hint`` and ``has_image`` of
    each sample.

    Reports ``all_acc``, from 0 to 1, and the same by subject, context and grade.

    Args:
        collect_device (str): Where results of several processes meet, ``'cpu'`` or ``'gpu'``.
        prefix (str, optional): What the names of the values begin with. Defaults to ``'vqa'``.

    Raises:
        UserError: A sample without choices or without a predicted answer.
    """

    default_prefix = 'vqa'

    def __init__(self, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Note for each sample which choice was named and which is true."""
        for sample in data_samples:
            if not sample.get('choices') or not isinstance(sample.get('pred_answer'), str):
                raise UserError(
                    'ScienceQAAccuracy needs choices and pred_answer in every sample: add choices '
                    'to algorithm_keys of PackInputs, and use a model that answers questions.'
                )
            super().process(data_batch, [sample])
            choices = sample['choices']
            self.results[-1]['prediction'] = chosen(sample['pred_answer'], choices)
            self.results[-1]['answer'] = chosen(sample['gt_answer'], choices)
