_base_ = [
    '../_base_/teachers/clip-nano.py',
    '../_base_/datasets/movingdigits.py',
    '../_base_/schedules/movingdigits.py',
    '../_base_/runtimes/movingdigits.py',
]

model = _base_.teacher_model

# The vision encoder is pre-trained; as in CLIP4Clip it learns at a lower rate.
optim_wrapper = dict(paramwise_cfg=dict(lr_mults={'model.vision_model.*': 0.1}))
train_cfg = dict(max_iters=1000, val_interval=500)
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, start_factor=0.05, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=1000, eta_min=2e-5),
]
