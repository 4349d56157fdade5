# Only the teacher's logits: no subcloning and no features (Hinton et al., arXiv 1503.02531).
layer_map = 'uniform'
subcloning = None
distiller = dict(type='LogitsDistiller')
