student = dict(
    type='ImageClassifier',
    backbone=dict(
        type='transmamba_mm.VideoMamba', arch='nano', img_size=8, patch_size=2, in_channels=1
    ),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=64,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)
