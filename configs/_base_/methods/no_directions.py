# Ablation: subcloning, whole layers and logits, but no single scan direction.
model = dict(distiller=dict(direction_weight=0.0))
