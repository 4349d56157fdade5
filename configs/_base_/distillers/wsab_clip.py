# Seeing is cloned and distilled. Reading is the teacher's own, words, layers and projection; it
# only has to be cloned, and is not compared. The logits are similarities, both ways.
layer_map = dict(vision='uniform')
subcloning = dict(
    vision=dict(type='WeightSubcloning', rules='vit_to_videomamba'),
    text=dict(type='WeightSubcloning', rules='clip_text_to_clip_text'),
)
distiller = dict(
    type='WSAB', task_weight=0.5, layer_weight=0.3, direction_weight=0.1, logits_weight=1.0
)
