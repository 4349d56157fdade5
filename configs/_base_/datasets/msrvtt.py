# MSR-VTT, split 1k-A: 9,000 videos with 180,000 captions to train on, 1,000 with one each to test on.
# Annotations: https://github.com/ArrowLuo/CLIP4Clip/releases/download/v0.0/msrvtt_data.zip
data_preprocessor = dict(
    type='transmamba_mm.VideoDataPreprocessor',
    mean=[122.770938, 116.7460125, 104.09373615],  # CLIP's
    std=[68.5005327, 66.6321579, 70.32316305],
)

# CLIP4Clip's: a frame a second, at most twelve at even distances, and their middle at 224 pixels.
decode = dict(type='transmamba_mm.DecodeVideo', num_frames=12, sampling='fps', fps=1, size=224)
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
        type='transmamba_mm.MSRVTT',
        data_root='data/msrvtt',
        partition='1k-A',
        split='train',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='transmamba_mm.MSRVTT',
        data_root='data/msrvtt',
        partition='1k-A',
        split='test',
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='transmamba_mm.RetrievalRecall')

test_dataloader = val_dataloader
test_evaluator = val_evaluator
