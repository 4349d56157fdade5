# Stage 1: weight subcloning; stage 2: adaptive bidirectional distillation.
layer_map = 'uniform'
subcloning = dict(type='WeightSubcloning', rules='vit_to_vim')
distiller = dict(type='WSAB')
