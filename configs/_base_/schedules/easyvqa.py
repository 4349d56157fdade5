# 64 questions a step; the whole training set is 603 steps.
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(
        flat_decay_mult=0.0,
        bypass_duplicate=True,
        custom_keys={
            'A_log': dict(decay_mult=0.0),
            'cross_mamba.D': dict(decay_mult=0.0),
            'conv_bias': dict(decay_mult=0.0),
            'dt_bias': dict(decay_mult=0.0),
            'cls_token': dict(decay_mult=0.0),
            'pos_embed': dict(decay_mult=0.0),
            'position_embedding': dict(decay_mult=0.0),
        },
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, begin=100, end=1000),
]
train_cfg = dict(type='transmamba_mm.IterBasedTrainLoop', max_iters=1000, val_interval=1000)
val_cfg = dict()
test_cfg = dict()
