# Ablation: subcloning, scan directions and logits, but no whole-layer term.
model = dict(distiller=dict(layer_weight=0.0))
