_base_ = './vqa_336.py'

# https://okvqa.allenai.org/download.html: 9,009 questions to train on, 5,046 to test.
train_dataloader = dict(
    dataset=dict(
        type='COCOVQA',
        data_root='data/coco',
        data_prefix='train2014',
        question_file='annotations/OpenEnded_mscoco_train2014_questions.json',
        ann_file='annotations/mscoco_train2014_annotations.json',
        pipeline={{_base_.train_pipeline}},
    )
)
val_dataloader = dict(
    dataset=dict(
        type='COCOVQA',
        data_root='data/coco',
        data_prefix='val2014',
        question_file='annotations/OpenEnded_mscoco_val2014_questions.json',
        ann_file='annotations/mscoco_val2014_annotations.json',
        pipeline={{_base_.test_pipeline}},
    )
)
val_evaluator = dict(type='VQAAcc')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
