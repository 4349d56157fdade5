# Ablation: subcloning and logits, but no features at all.
model = dict(distiller=dict(layer_weight=0.0, direction_weight=0.0))
