# Seeing and reading are both cloned and distilled. The teacher sees each frame alone, and then its
# Transformer over frames their order: the last layers of the student are left to do the latter.
layer_map = dict(vision=[0, 1, 2, 3, None, None], text='uniform')
subcloning = dict(
    vision=dict(type='transmamba_mm.WeightSubcloning'),
    text=dict(type='transmamba_mm.WeightSubcloning'),
)
# The logits are similarities, both ways, and of a trained CLIP their scale is large.
distiller = dict(
    type='transmamba_mm.WSAB',
    task_weight=0.5,
    layer_weight=10.0,
    direction_weight=3.0,
    logits_weight=0.2,
)
