# Questions about 3x3 canvases of Fashion-MNIST images: 50,000 to train on, 2,000 to choose on and 5,000
# to test on, 84x84 pixels. Files: apt-get install dataset-fashion-mnist.
data_preprocessor = dict(type='MultiModalDataPreprocessor', mean=[72.9], std=[90.0])

pipeline = [
    dict(type='PackInputs', algorithm_keys=['question', 'gt_answer', 'question_id']),
]

train_dataloader = dict(
    batch_size=64,
    num_workers=0,  # the images are in memory
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='transmamba_mm.FashionCanvas', split='train', fraction=1.0, seed=0, pipeline=pipeline
    ),
)
val_dataloader = dict(
    batch_size=250,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='transmamba_mm.FashionCanvas', split='val', pipeline=pipeline),
)
val_evaluator = dict(type='transmamba_mm.VQAExactMatch')

test_dataloader = dict(
    batch_size=250,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='transmamba_mm.FashionCanvas', split='test', pipeline=pipeline),
)
test_evaluator = val_evaluator
