# The classes of easy-VQA's images, inferred from their questions: 3,132 to train on, 772 to test on.
data_preprocessor = dict(
    type='ClsDataPreprocessor',
    num_classes=24,
    mean=[230.6, 230.9, 228.6],  # as in easyvqa.py
    std=[49.4, 47.7, 52.5],
    to_rgb=True,
)

train_pipeline = [
    dict(type='transmamba_mm.LoadImage', on_bad='skip'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomCrop', crop_size=64, padding=8, padding_mode='edge'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='transmamba_mm.LoadImage', on_bad='raise'), dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type='transmamba_mm.EasyVQACls', split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=1,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='transmamba_mm.EasyVQACls', split='test', pipeline=test_pipeline),
)
val_evaluator = dict(type='Accuracy', topk=(1,))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
