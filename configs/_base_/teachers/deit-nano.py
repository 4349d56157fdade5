# A ViT as small as the students of the digits; python tools/train.py configs/teachers/deit-nano_digits.py
teacher = dict(
    model=dict(
        type='ImageClassifier',
        backbone=dict(
            type='VisionTransformer',
            arch=dict(embed_dims=64, num_layers=6, num_heads=4, feedforward_channels=256),
            img_size=8,
            patch_size=2,
            in_channels=1,
        ),
        head=dict(
            type='VisionTransformerClsHead',
            num_classes=10,
            in_channels=64,
            loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        ),
    ),
    checkpoint='work_dirs/deit-nano_digits',
    mean=[77.9],
    std=[95.9],
)
