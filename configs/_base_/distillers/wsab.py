# Stage 1: weight subcloning; stage 2: adaptive bidirectional distillation.
layer_map = 'uniform'
subcloning = dict(type='WeightSubcloning', rules='vit_to_vim')
# The teacher has seen every view the student is shown, hard labels have not: they count a fifth.
distiller = dict(type='WSAB', task_weight=0.2, logits_weight=2.0)
