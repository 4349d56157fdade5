# DeiT from mmpretrain's model zoo, for ImageNet's 1,000 classes; for a local copy:
# --cfg-options model.teacher.checkpoint=FILE
teacher = dict(
    model=dict(
        type='ImageClassifier',
        backbone=dict(type='VisionTransformer', img_size=224, patch_size=16),
        head=dict(
            type='VisionTransformerClsHead',
            num_classes=1000,
            loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        ),
    )
)
