from transmamba_mm.evaluation.retrieval_metric import RetrievalRecall
from transmamba_mm.evaluation.vqa_accuracy import VQAExactMatch

__all__ = ['RetrievalRecall', 'VQAExactMatch']
