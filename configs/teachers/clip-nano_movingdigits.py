_base_ = [
    '../_base_/teachers/clip-nano_movingdigits.py',
    '../_base_/datasets/moving_digits.py',
    '../_base_/schedules/movingdigits.py',
    '../_base_/movingdigits_runtime.py',
]

model = {{_base_.teacher_model}}

train_cfg = dict(max_iters=3000, val_interval=1000)
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, start_factor=0.05, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=3000, eta_min=2e-5),
]
