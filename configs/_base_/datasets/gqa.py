_base_ = './vqa_336.py'

# Images: https://cs.stanford.edu/people/dorarad/gqa; annotations: those of LAVIS (see mmpretrain's GQA).
train_dataloader = dict(
    dataset=dict(
        type='GQA',
        data_root='data/gqa',
        data_prefix='images',
        ann_file='annotations/train_balanced_questions.json',
        pipeline={{_base_.train_pipeline}},
    )
)
val_dataloader = dict(
    dataset=dict(
        type='GQA',
        data_root='data/gqa',
        data_prefix='images',
        ann_file='annotations/testdev_balanced_questions.json',
        pipeline={{_base_.test_pipeline}},
    )
)
val_evaluator = dict(type='GQAAcc')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
