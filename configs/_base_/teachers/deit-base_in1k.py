# DeiT from mmpretrain's model zoo; for a local copy: --cfg-options model.teacher.checkpoint=FILE
teacher = dict(
    model=dict(
        type='ImageClassifier',
        backbone=dict(type='VisionTransformer', arch='deit-base', img_size=224, patch_size=16),
        head=dict(
            type='VisionTransformerClsHead',
            num_classes=1000,
            in_channels=768,
            loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        ),
    ),
    checkpoint='https://mmassets.onedl.ai/mmclassification/v0/deit/deit-base_pt-16xb64_in1k_20220216-db63c16c.pth',
)
