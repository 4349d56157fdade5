# New training does without the two quirks that the released weights need.
student = dict(
    type='ImageClassifier',
    backbone=dict(
        type='transmamba_mm.PlainMamba',
        arch='L1',
        img_size=224,
        parameters_in_raster_order=False,
        double_dt_bias=False,
    ),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=192,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
