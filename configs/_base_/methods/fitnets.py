# FitNets (arXiv 1412.6550): soft labels, and a hint from the middle of the teacher for the first third
# of the steps, which stands for its first stage. Task and logits weigh what they weigh in the config's WSAB.
model = dict(
    layer_map='uniform',
    subcloning=None,
    distiller=dict(
        type='transmamba_mm.FitNets',
        task_weight=_base_.model.distiller.task_weight,
        logits_weight=_base_.model.distiller.logits_weight,
        feature_end=0.3,
    ),
)
