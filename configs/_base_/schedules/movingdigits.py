# 256 captions a step, counted in steps so that less data does not mean less training.
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(
        flat_decay_mult=0.0,
        bypass_duplicate=True,
        custom_keys={
            'A_log': dict(decay_mult=0.0),
            'conv_bias': dict(decay_mult=0.0),
            'dt_bias': dict(decay_mult=0.0),
            'cls_token': dict(decay_mult=0.0),
            'logit_scale': dict(decay_mult=0.0),
            # Everything here is about where something is, and positions start near zero.
            'pos_embed': dict(lr_mult=10.0, decay_mult=0.0),
            'position_embedding': dict(lr_mult=10.0, decay_mult=0.0),
            'temporal.positions': dict(lr_mult=10.0, decay_mult=0.0),
        },
    ),
)
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, start_factor=0.05, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=500, eta_min=2e-5),
]
train_cfg = dict(type='transmamba_mm.IterBasedTrainLoop', max_iters=500, val_interval=250)
val_cfg = dict()
test_cfg = dict()
