# Swin from mmpretrain's model zoo; for a local copy: --cfg-options model.teacher.checkpoint=FILE
teacher = dict(
    model=dict(
        type='ImageClassifier',
        backbone=dict(type='SwinTransformer', arch='tiny', img_size=224, drop_path_rate=0.2),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=1000,
            in_channels=768,
            loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        ),
    ),
    checkpoint='https://mmassets.onedl.ai/mmclassification/v0/swin-transformer/swin_tiny_224_b16x64_300e_imagenet_20210616_090925-66df6be6.pth',
)
