_base_ = './vqa_336.py'

# https://vizwiz.org/tasks-and-datasets/vqa: 20,523 questions to train on, 4,319 to validate. mmpretrain
# leaves out those that cannot be answered, about a quarter.
train_dataloader = dict(
    dataset=dict(
        type='VizWiz',
        data_root='data/vizwiz',
        data_prefix='train',
        ann_file='Annotations/train.json',
        pipeline={{_base_.train_pipeline}},
    )
)
val_dataloader = dict(
    dataset=dict(
        type='VizWiz',
        data_root='data/vizwiz',
        data_prefix='val',
        ann_file='Annotations/val.json',
        pipeline={{_base_.test_pipeline}},
    )
)
val_evaluator = dict(type='VQAAcc')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
