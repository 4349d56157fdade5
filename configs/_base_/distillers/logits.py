# Only the teacher's logits: no subcloning and no features (Hinton et al., arXiv 1503.02531).
layer_map = 'uniform'
subcloning = None
distiller = dict(type='transmamba_mm.LogitsDistiller', task_weight=0.2, weight=2.0)  # as in wsab.py
