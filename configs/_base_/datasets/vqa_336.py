# What all data sets of photographs and questions share: images at the input size of CLIP's ViT-L/14-336.
data_preprocessor = dict(
    type='MultiModalDataPreprocessor',
    mean=[122.770938, 116.7460125, 104.09373615],
    std=[68.5005327, 66.6321579, 70.32316305],
    to_rgb=True,
)

prepare = [
    dict(type='ResizeEdge', scale=336, interpolation='bicubic', backend='pillow'),
    dict(type='CenterCrop', crop_size=336),
    dict(
        type='PackInputs',
        algorithm_keys=['question', 'gt_answer', 'gt_answer_weight', 'question_id', 'conversation'],
        meta_keys=['image_id', 'img_path'],
    ),
]
# Training skips and counts unreadable samples; evaluation scores the whole set.
train_pipeline = [dict(type='transmamba_mm.LoadImage', on_bad='skip'), *prepare]
test_pipeline = [dict(type='transmamba_mm.LoadImage', on_bad='raise'), *prepare]

train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader
