_base_ = [
    '../_base_/teachers/deit-micro.py',
    '../_base_/datasets/solarcells.py',
    '../_base_/schedules/micro_teacher.py',
    '../_base_/runtimes/micro.py',
]

model = _base_.teacher.model
model['backbone'].update(img_size=64, patch_size=16)
model['head']['num_classes'] = _base_.data_preprocessor.num_classes
train_cfg = dict(max_iters=2000, val_interval=500)
