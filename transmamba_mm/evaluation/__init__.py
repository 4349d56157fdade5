from transmamba_mm.evaluation.retrieval_metric import RetrievalRecall
from transmamba_mm.evaluation.scienceqa import ScienceQAAccuracy
from transmamba_mm.evaluation.vqa_accuracy import VQAExactMatch

__all__ = ['RetrievalRecall', 'ScienceQAAccuracy', 'VQAExactMatch']
