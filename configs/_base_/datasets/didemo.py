# DiDeMo, one paragraph a video: about 8,400 videos to train on, 1,070 to validate, 1,000 to test on.
# Where the files come from: the message of a training that lacks them, or DiDeMo.HELP.
data_preprocessor = dict(
    type='transmamba_mm.VideoDataPreprocessor',
    mean=[122.770938, 116.7460125, 104.09373615],  # CLIP's
    std=[68.5005327, 66.6321579, 70.32316305],
)

# CLIP4Clip's: a frame a second of what was annotated, and their middle at 224 pixels. It takes all
# of those frames (and 64 tokens): with more memory, raise num_frames to 32.
decode = dict(
    type='transmamba_mm.DecodeVideo', num_frames=12, sampling='fps', fps=1, max_seconds=32, size=224
)
crop = dict(type='transmamba_mm.CenterCropClip', size=224)
train_pipeline = [decode, crop, dict(type='transmamba_mm.PackClip')]
test_pipeline = [dict(on_bad='mark', **decode), crop, dict(type='transmamba_mm.PackClip')]

train_dataloader = dict(
    batch_size=16,  # on each of 8 GPUs: CLIP4Clip's 128
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='transmamba_mm.DiDeMo', data_root='data/didemo', split='train', pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='transmamba_mm.DiDeMo', data_root='data/didemo', split='val', pipeline=test_pipeline
    ),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='transmamba_mm.DiDeMo', data_root='data/didemo', split='test', pipeline=test_pipeline
    ),
)
val_evaluator = dict(type='transmamba_mm.RetrievalRecall')
test_evaluator = val_evaluator
