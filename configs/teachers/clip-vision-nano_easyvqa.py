# Pre-train the vision encoder of llava-nano_easyvqa on the classes of the images.
_base_ = [
    '../_base_/teachers/llava-nano.py',
    '../_base_/datasets/easyvqa_cls.py',
    '../_base_/schedules/easyvqa.py',
    '../_base_/runtimes/easyvqa.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(type='transmamba_mm.ClipVision', config=_base_.vision_config),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead', num_classes=_base_.data_preprocessor.num_classes, in_channels=96
    ),
)

train_cfg = dict(max_iters=1600, val_interval=400)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, begin=0, end=160),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, begin=160, end=1600),
]
default_hooks = dict(checkpoint=dict(save_best='accuracy/top1'))
