# Fashion-MNIST, 28x28 gray images of ten kinds of clothes: 30,000 for a teacher, 25,000 for the
# students, 5,000 to choose on and 10,000 to test on. Files: apt-get install dataset-fashion-mnist.
pixel_mean, pixel_std = 72.9, 90.0  # of the images to train on, 0..255

data_preprocessor = dict(
    type='ClsDataPreprocessor',
    num_classes=10,
    mean=[pixel_mean],
    std=[pixel_std],
    # Shift by up to two pixels and mirror, the whole batch at once.
    batch_augments=dict(
        augments=dict(
            type='transmamba_mm.RandomAffine',
            translate=2 / 28,
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
        type='transmamba_mm.FashionMNIST',
        split='train',
        fraction=1.0,
        seed=0,
        pipeline=[dict(type='PackInputs')],
    ),
)
# Any image of clothes on black, in a file or not; the data set's own stay as they are.
test_pipeline = [
    dict(type='transmamba_mm.LoadImage', on_bad='raise'),
    dict(type='transmamba_mm.ToGrayscale'),
    dict(type='Resize', scale=28, interpolation='area'),
    dict(type='PackInputs'),
]
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='transmamba_mm.FashionMNIST', split='val', pipeline=test_pipeline),
)
val_evaluator = dict(type='Accuracy', topk=1)

test_dataloader = dict(
    batch_size=500,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='transmamba_mm.FashionMNIST', split='test', pipeline=test_pipeline),
)
test_evaluator = val_evaluator
