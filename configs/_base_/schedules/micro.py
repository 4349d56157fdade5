# The student's schedule, counted in steps so that less data does not mean less training.
optim_wrapper = dict(
    constructor='transmamba_mm.SelectiveDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, start_factor=0.05, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, eta_min=2e-5),
]
train_cfg = dict(type='transmamba_mm.IterBasedTrainLoop', max_iters=1000, val_interval=250)
val_cfg = dict()
test_cfg = dict()
