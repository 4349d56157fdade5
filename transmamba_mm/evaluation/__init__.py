from transmamba_mm.evaluation.vqa_accuracy import VQAExactMatch

__all__ = ['VQAExactMatch']
