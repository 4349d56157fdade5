# Stage 1: weight subcloning; stage 2: adaptive bidirectional distillation.
layer_map = 'uniform'
subcloning = dict(type='transmamba_mm.WeightSubcloning')
# The teacher has seen every view the student is shown, hard labels have not: they count a fifth.
# Features guide, logits lead: a feature term that is too strong costs accuracy on little data.
distiller = dict(
    type='transmamba_mm.WSAB',
    task_weight=0.2,
    layer_weight=0.3,
    direction_weight=0.1,
    logits_weight=2.0,
)
