_base_ = './vqa_336.py'

# https://visualqa.org/download.html: 443,757 questions to train on, 214,354 to validate.
train_dataloader = dict(
    dataset=dict(
        type='COCOVQA',
        data_root='data/coco',
        data_prefix='train2014',
        question_file='annotations/v2_OpenEnded_mscoco_train2014_questions.json',
        ann_file='annotations/v2_mscoco_train2014_annotations.json',
        pipeline={{_base_.train_pipeline}},
    )
)
val_dataloader = dict(
    dataset=dict(
        type='COCOVQA',
        data_root='data/coco',
        data_prefix='val2014',
        question_file='annotations/v2_OpenEnded_mscoco_val2014_questions.json',
        ann_file='annotations/v2_mscoco_val2014_annotations.json',
        pipeline={{_base_.test_pipeline}},
    )
)
val_evaluator = dict(type='VQAAcc')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
