_base_ = './vqa_336.py'

# https://textvqa.org/dataset: 34,602 questions to train on, 5,000 to validate.
train_dataloader = dict(
    dataset=dict(
        type='TextVQA',
        data_root='data/textvqa',
        data_prefix='images/train_images',
        ann_file='annotations/TextVQA_0.5.1_train.json',
        pipeline={{_base_.train_pipeline}},
    )
)
val_dataloader = dict(
    dataset=dict(
        type='TextVQA',
        data_root='data/textvqa',
        data_prefix='images/train_images',
        ann_file='annotations/TextVQA_0.5.1_val.json',
        pipeline={{_base_.test_pipeline}},
    )
)
val_evaluator = dict(type='VQAAcc')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
