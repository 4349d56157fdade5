# Seeing and reading are both cloned and distilled; a head for classes is not there to be cloned.
layer_map = 'uniform'
subcloning = dict(
    vision=dict(type='transmamba_mm.WeightSubcloning'),
    language=dict(type='transmamba_mm.WeightSubcloning'),
)
# Layers weigh much: with 0.3 and 0.1 the student still guesses yes or no from the question after
# 1,000 steps.
distiller = dict(
    type='transmamba_mm.WSAB',
    task_weight=0.5,
    layer_weight=10.0,
    direction_weight=3.0,
    logits_weight=1.0,
)
