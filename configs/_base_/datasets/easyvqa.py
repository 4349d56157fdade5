# easy-VQA (pip install easy-vqa): 38,575 questions to train on, 9,673 to test on, 64x64 pixels.
data_preprocessor = dict(
    type='MultiModalDataPreprocessor',
    mean=[230.6, 230.9, 228.6],  # of the training images, 0..255: the background is white
    std=[49.4, 47.7, 52.5],
    to_rgb=True,
)

pack = dict(
    type='PackInputs',
    algorithm_keys=['question', 'gt_answer', 'question_id'],
    meta_keys=['image_id', 'is_yes_no', 'img_path'],
)
# 4,000 images are soon known by heart. No question asks where a shape is; triangles point upward.
train_pipeline = [
    dict(type='transmamba_mm.LoadImage', on_bad='skip'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomCrop', crop_size=64, padding=8, padding_mode='edge'),
    pack,
]
test_pipeline = [dict(type='transmamba_mm.LoadImage', on_bad='raise'), pack]

train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='transmamba_mm.EasyVQA', split='train', fraction=1.0, seed=0, pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='transmamba_mm.EasyVQA', split='test', pipeline=test_pipeline),
)
# Most answers are yes or no, which the question alone half gives away: see the others too.
val_evaluator = [dict(type='transmamba_mm.VQAExactMatch'), dict(type='VQAAcc')]

test_dataloader = val_dataloader
test_evaluator = val_evaluator
