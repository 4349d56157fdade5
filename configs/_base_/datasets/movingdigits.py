# Handwritten digits that move (python tools/datasets/make_moving_digits.py): 3,000 videos to train
# on, 400 to choose on, 400 to test on, 64x64 pixels, 16 frames.
data_preprocessor = dict(
    type='transmamba_mm.VideoDataPreprocessor',
    mean=[36.6, 36.6, 36.6],  # of the training videos, 0..255: gray before dark gray
    std=[37.5, 37.5, 37.5],
)

# No flips: captions mention left and right. All sixteen frames are kept once they are decoded.
train_pipeline = [
    dict(
        type='transmamba_mm.DecodeVideo',
        num_frames=4,
        sampling='random',
        size=32,
        cache=dict(dir='work_dirs/cache/moving_digits', max_gb=1.0),
    ),
    dict(type='transmamba_mm.PackClip'),
]
test_pipeline = [
    dict(type='transmamba_mm.DecodeVideo', num_frames=4, size=32, on_bad='mark'),
    dict(type='transmamba_mm.PackClip'),
]

# Large batches: a contrastive loss needs negatives of the same class, and few are in 64.
train_dataloader = dict(
    batch_size=256,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='transmamba_mm.MovingDigits',
        split='train',
        fraction=1.0,
        seed=0,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='transmamba_mm.MovingDigits', split='val', pipeline=test_pipeline),
)
val_evaluator = dict(type='transmamba_mm.RetrievalRecall')

test_dataloader = dict(
    batch_size=100,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='transmamba_mm.MovingDigits', split='test', pipeline=test_pipeline),
)
test_evaluator = val_evaluator
