# The released Vim: middle cls token, both directions averaged, stochastic depth as in its scripts.
student = dict(
    type='ImageClassifier',
    backbone=dict(
        type='transmamba_mm.Vim', arch='small', img_size=224, patch_size=16, drop_path_rate=0.05
    ),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=384,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
