_base_ = './vqa_336.py'

# https://scienceqa.github.io: 12,726 questions to train on, 4,241 to validate, 4,241 to test. About
# half have no image: they are kept, with one of the color that is 0 to the model.
blank = {{_base_.data_preprocessor.mean}}
prepare = [
    dict(type='ResizeEdge', scale=336, interpolation='bicubic', backend='pillow'),
    dict(type='CenterCrop', crop_size=336),
    dict(type='transmamba_mm.FormatChoices'),
    dict(
        type='PackInputs',
        algorithm_keys=[
            *('question', 'gt_answer', 'choices', 'hint', 'grade', 'subject', 'has_image'),
        ],
        meta_keys=['image_id', 'img_path'],
    ),
]
train_pipeline = [dict(type='transmamba_mm.LoadImage', on_bad='skip', blank=blank), *prepare]
test_pipeline = [dict(type='transmamba_mm.LoadImage', on_bad='raise', blank=blank), *prepare]

files = dict(
    type='ScienceQA',
    data_root='data/scienceqa',
    ann_file='problems.json',
    split_file='pid_splits.json',
)
train_dataloader = dict(
    dataset=dict(
        **files,
        split='train',
        data_prefix=dict(img_path='images/train'),
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        **files, split='val', data_prefix=dict(img_path='images/val'), pipeline=test_pipeline
    )
)
test_dataloader = dict(
    dataset=dict(
        **files, split='test', data_prefix=dict(img_path='images/test'), pipeline=test_pipeline
    )
)
val_evaluator = dict(type='transmamba_mm.ScienceQAAccuracy')
test_evaluator = val_evaluator
