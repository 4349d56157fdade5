# 64 questions a step; the whole training set is 603 steps.
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
    constructor='transmamba_mm.SelectiveDecayOptimWrapperConstructor',
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, begin=100, end=1000),
]
train_cfg = dict(type='transmamba_mm.IterBasedTrainLoop', max_iters=1000, val_interval=1000)
val_cfg = dict()
test_cfg = dict()
