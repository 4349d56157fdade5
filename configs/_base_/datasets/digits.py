# scikit-learn's handwritten digits, 8x8 pixels, no download: 1,157 to train on, 280 to choose on, 360
# to test on.
pixel_mean, pixel_std = 77.9, 95.9  # of the training images, 0..255

data_preprocessor = dict(
    type='ClsDataPreprocessor',
    num_classes=10,
    mean=[pixel_mean],
    std=[pixel_std],
    # One resampling of the whole batch: 0.2 ms, where a pipeline per image would take 10 ms.
    batch_augments=dict(
        augments=dict(
            type='transmamba_mm.RandomAffine',
            rotate=15.0,
            translate=0.1,
            scale=0.15,
            shear=10.0,
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
        type='transmamba_mm.Digits',
        split='train',
        fraction=1.0,
        seed=0,
        pipeline=[dict(type='PackInputs')],
    ),
)
# Any image of a digit, white on black, in a file or not; the data set's own stay as they are.
test_pipeline = [
    dict(type='transmamba_mm.LoadImage', on_bad='raise'),
    dict(type='transmamba_mm.ToGrayscale'),
    dict(type='Resize', scale=8, interpolation='area'),
    dict(type='PackInputs'),
]
val_dataloader = dict(
    batch_size=280,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='transmamba_mm.Digits', split='val', pipeline=test_pipeline),
)
val_evaluator = dict(type='Accuracy', topk=1)

test_dataloader = dict(
    batch_size=360,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='transmamba_mm.Digits', split='test', pipeline=test_pipeline),
)
test_evaluator = val_evaluator
