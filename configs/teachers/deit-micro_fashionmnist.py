_base_ = [
    '../_base_/teachers/deit-micro.py',
    '../_base_/datasets/fashionmnist.py',
    '../_base_/schedules/micro_teacher.py',
    '../_base_/runtimes/micro.py',
]

model = _base_.teacher.model

# Images that no student is trained on.
train_dataloader = dict(batch_size=128, dataset=dict(split='teacher'))
