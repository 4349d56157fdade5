# A ViT for 28x28 pixels; python tools/train.py configs/teachers/deit-micro_fashionmnist.py
teacher = dict(
    model=dict(
        type='ImageClassifier',
        backbone=dict(
            type='VisionTransformer',
            arch=dict(embed_dims=96, num_layers=4, num_heads=4, feedforward_channels=384),
            img_size=28,
            patch_size=7,
            in_channels=1,
        ),
        head=dict(
            type='VisionTransformerClsHead',
            num_classes=10,
            in_channels=96,
            loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        ),
    ),
    checkpoint='work_dirs/deit-micro_fashionmnist',
)
