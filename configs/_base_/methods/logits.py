# Soft labels alone: no subcloning, no features (Hinton et al., arXiv 1503.02531). Task and logits
# weigh what they weigh in the config's WSAB.
model = dict(
    layer_map='uniform',
    subcloning=None,
    distiller=dict(
        type='transmamba_mm.LogitsDistiller',
        task_weight=_base_.model.distiller.task_weight,
        weight=_base_.model.distiller.logits_weight,
    ),
)
