# Pre-train the vision encoder of clip-nano_movingdigits: which digit is in a frame, and where.
_base_ = [
    '../_base_/teachers/clip-nano.py',
    '../_base_/datasets/movingdigits_cls.py',
    '../_base_/schedules/movingdigits.py',
    '../_base_/runtimes/movingdigits.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(type='transmamba_mm.ClipVision', config=_base_.vision_config),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='MultiTaskHead',
        in_channels=64,
        task_heads=dict(
            kind=dict(type='LinearClsHead', num_classes=20),
            row=dict(type='LinearClsHead', num_classes=8),
            column=dict(type='LinearClsHead', num_classes=8),
        ),
    ),
)

train_cfg = dict(max_iters=2500, val_interval=500)
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, start_factor=0.05, begin=0, end=250),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=250, end=2500, eta_min=2e-5),
]
default_hooks = dict(checkpoint=dict(interval=500, save_best='kind_accuracy/top1'))
