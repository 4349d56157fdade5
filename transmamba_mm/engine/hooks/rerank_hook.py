"""Re-rank the results of a retrieval evaluation."""

from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from transmamba_mm.checks import COUNT, checked
from transmamba_mm.errors import UserError
from transmamba_mm.evaluation import RetrievalRecall
from transmamba_mm.registry import HOOKS


@HOOKS.register_module()
class RerankHook(Hook):
    """Hands the model's re-ranker to ``RetrievalRecall``, which then reports ``reranked_`` numbers.

    It costs a matching score for ``top_k`` videos of each text and ``top_k`` texts of each video,
    and the patches of all videos in memory: 12 frames of 4 x 4 patches of 192 numbers are 74 kB of
    a video in half precision.

    Args:
        top_k (int, optional): By default the re-ranker's.

    Raises:
        UserError: The model has no re-ranker, or nothing evaluates retrieval.
    """

    @checked(top_k=COUNT)
    def __init__(self, top_k: int | None = None) -> None:
        self.top_k = top_k

    def before_val_epoch(self, runner: Runner) -> None:
        """Hand it to the validation's metric."""
        self._hand_over(runner, runner.val_evaluator)

    def before_test_epoch(self, runner: Runner) -> None:
        """Hand it to the test's metric."""
        self._hand_over(runner, runner.test_evaluator)

    def _hand_over(self, runner: Runner, evaluator: Evaluator) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model = getattr(model, 'student', model)
        metrics = [metric for metric in evaluator.metrics if isinstance(metric, RetrievalRecall)]
        if getattr(model, 'reranker', None) is None or not metrics:
            raise UserError(
                'RerankHook needs a model with a re-ranker (rerank=dict(top_k=10) of a '
                'VideoTextRetriever) and RetrievalRecall as evaluator: set them, or remove the '
                'hook.'
            )
        for metric in metrics:
            metric.matcher = model.match
            metric.top_k = self.top_k or model.reranker.top_k
