# OFA-KD (arXiv 2310.19444) with its own weights: exits behind the student's layers, of classifiers alone.
_head = _base_.model.student.head
model = dict(layer_map='uniform', subcloning=None, distiller=dict(type='transmamba_mm.OFA'))
