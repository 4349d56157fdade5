# Ablation: subcloning alone, then training on labels as from scratch.
model = dict(
    distiller=dict(type='transmamba_mm.LogitsDistiller', task_weight=1.0, weight=0.0),
)
