# An image is a clip of one frame; for clips set num_frames.
student = dict(
    type='ImageClassifier',
    backbone=dict(type='transmamba_mm.VideoMamba', arch='tiny', img_size=224),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=192,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
