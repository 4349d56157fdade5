_base_ = './vqa_bs128_adamw.py'

# Sets of 9 to 35 thousand questions: an epoch is 70 to 270 iterations, one of them warms up.
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=True, begin=1, end=12),
]
train_cfg = dict(by_epoch=True, max_epochs=12, val_interval=1)
