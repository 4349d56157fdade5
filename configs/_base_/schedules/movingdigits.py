# 256 captions a step, counted in steps so that less data does not mean less training.
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
    constructor='transmamba_mm.SelectiveDecayOptimWrapperConstructor',
    # Everything here is about where something is, and positions start near zero.
    paramwise_cfg=dict(position_lr_mult=10.0),
)
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, start_factor=0.05, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=500, eta_min=2e-5),
]
train_cfg = dict(type='transmamba_mm.IterBasedTrainLoop', max_iters=500, val_interval=250)
val_cfg = dict()
test_cfg = dict()
