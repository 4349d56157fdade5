# Solar cells in electroluminescence images, four grades of defects: 1,640 to train on, 328 to choose
# on, 656 to test on, at 64x64 pixels. Files: pip install elpv-dataset (CC BY-NC-SA 4.0).
pixel_mean, pixel_std = 152.2, 41.2  # 0..255

data_preprocessor = dict(
    type='ClsDataPreprocessor',
    num_classes=4,
    mean=[pixel_mean],
    std=[pixel_std],
    # A cell has no left and right; shifts are small, its frame is what separates it from a crack.
    batch_augments=dict(
        augments=dict(
            type='transmamba_mm.RandomAffine',
            translate=0.03,
            flip=0.5,
            fill=-pixel_mean / pixel_std,  # black
        )
    ),
)

train_dataloader = dict(
    batch_size=64,
    num_workers=0,  # the images are in memory
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='transmamba_mm.SolarCells',
        split='train',
        fraction=1.0,
        seed=0,
        size=64,
        pipeline=[dict(type='PackInputs')],
    ),
)
# Any gray image of a cell, in a file or not.
test_pipeline = [
    dict(type='transmamba_mm.LoadImage', on_bad='raise'),
    dict(type='transmamba_mm.ToGrayscale'),
    dict(type='Resize', scale=64, interpolation='area'),
    dict(type='PackInputs'),
]
val_dataloader = dict(
    batch_size=328,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='transmamba_mm.SolarCells', split='val', size=64, pipeline=test_pipeline),
)
val_evaluator = dict(type='Accuracy', topk=1)

test_dataloader = dict(
    batch_size=328,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='transmamba_mm.SolarCells', split='test', size=64, pipeline=test_pipeline),
)
test_evaluator = val_evaluator
