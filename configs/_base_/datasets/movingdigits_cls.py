# Single frames of the moving digits: 20 kinds such as 'small seven', in 8 rows and 8 columns.
data_preprocessor = dict(
    type='ClsDataPreprocessor',
    mean=[36.6, 36.6, 36.6],  # as in movingdigits.py
    std=[37.5, 37.5, 37.5],
)

train_pipeline = [
    dict(
        type='transmamba_mm.DecodeVideo',
        num_frames=1,
        sampling='random',
        size=32,
        cache=dict(dir='work_dirs/cache/moving_digits', max_gb=1.0, frames_per_segment=16),
    ),
    dict(type='transmamba_mm.AddGridLabel', grid=8),
    dict(type='PackMultiTaskInputs', multi_task_fields=['gt_label']),
]
test_pipeline = [
    dict(type='transmamba_mm.DecodeVideo', num_frames=1, size=32, on_bad='raise'),
    dict(type='transmamba_mm.AddGridLabel', grid=8),
    dict(type='PackMultiTaskInputs', multi_task_fields=['gt_label']),
]

train_dataloader = dict(
    batch_size=128,
    num_workers=1,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type='transmamba_mm.MovingDigitsCls', split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=200,
    num_workers=1,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='transmamba_mm.MovingDigitsCls', split='val', pipeline=test_pipeline),
)
val_evaluator = dict(
    type='MultiTasksMetric',
    task_metrics=dict(
        kind=[dict(type='Accuracy')],
        row=[dict(type='Accuracy')],
        column=[dict(type='Accuracy')],
    ),
)

test_dataloader = dict(
    batch_size=200,
    num_workers=1,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='transmamba_mm.MovingDigitsCls', split='test', pipeline=test_pipeline),
)
test_evaluator = val_evaluator
