# VMambav2 of ratio 1 (v05_noz, officially s1l8); stochastic depth as in its recipe.
student = dict(
    type='ImageClassifier',
    backbone=dict(type='transmamba_mm.VMamba', arch='tiny', drop_path_rate=0.2),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=768,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
