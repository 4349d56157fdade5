# DeiT from mmpretrain's model zoo; for a local copy: --cfg-options model.teacher.checkpoint=FILE
teacher = dict(
    model=dict(
        type='ImageClassifier',
        backbone=dict(type='VisionTransformer', arch='deit-tiny', img_size=224, patch_size=16),
        head=dict(
            type='VisionTransformerClsHead',
            num_classes=1000,
            in_channels=192,
            loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        ),
    ),
    checkpoint='https://mmassets.onedl.ai/mmclassification/v0/deit/deit-tiny_pt-4xb256_in1k_20220218-13b382a0.pth',
)
