# Seeing and reading are both cloned and distilled; the logits are similarities, both ways.
layer_map = 'uniform'
subcloning = dict(
    vision=dict(type='WeightSubcloning', rules='vit_to_videomamba'),
    text=dict(type='WeightSubcloning', rules='clip_text_to_mamba'),
)
distiller = dict(
    type='WSAB', task_weight=0.5, layer_weight=0.3, direction_weight=0.1, logits_weight=1.0
)
