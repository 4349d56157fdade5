# Version 1 as published: padded projector, double sum of ratio weights, forward and backward terms
# only.
model = dict(
    distiller=dict(
        projector='pad_mlp',
        weighting='ratio',
        reduction='sum',
        task_weight=0.5,
        layer_weight=0.0,
        direction_weight=1.0,
        logits_weight=0.0,
    )
)
