# Images of your own, in data/images/CLASS/ or data/images/{train,val,test}/CLASS/, or a table
# data/images.csv with the columns image and label. Without images set apart, a fifth of each class
# validates. The number of classes is the data's wherever num_classes is None.
data_root = 'data/images'

data_preprocessor = dict(
    type='ClsDataPreprocessor',
    num_classes=None,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

train_pipeline = [
    dict(type='transmamba_mm.LoadImage', on_bad='skip'),
    dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='transmamba_mm.LoadImage', on_bad='raise'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]

_images = dict(type='transmamba_mm.ImageFolder', data_root=data_root)
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(_images, split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(_images, split='val', pipeline=test_pipeline),
)
val_evaluator = dict(type='Accuracy', topk=1)

test_dataloader = dict(
    batch_size=32,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(_images, split='test', pipeline=test_pipeline),
)
test_evaluator = val_evaluator
