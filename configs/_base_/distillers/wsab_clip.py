# Seeing is cloned and distilled. Reading is the teacher's own, words, layers and projection; it
# only has to be cloned, and is not compared. The logits are similarities, both ways.
layer_map = dict(vision='uniform')
subcloning = dict(
    vision=dict(type='transmamba_mm.WeightSubcloning'),
    text=dict(type='transmamba_mm.WeightSubcloning'),
)
distiller = dict(
    type='transmamba_mm.WSAB',
    task_weight=0.5,
    layer_weight=0.3,
    direction_weight=0.1,
    logits_weight=1.0,
)
