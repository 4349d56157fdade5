_base_ = [
    '../_base_/students/vim-t.py',
    '../_base_/teachers/deit-s_in100.py',
    '../_base_/methods/wsab.py',
    '../_base_/datasets/imagenet100_bs128.py',
    '../_base_/schedules/imagenet_bs1024_adamw_vim.py',
    '../_base_/runtimes/default.py',
]

model = dict(student=_base_.student, teacher=_base_.teacher)
model['student']['head']['num_classes'] = _base_.data_preprocessor.num_classes

# Vim-Ti's own; the larger models take the schedule's 0.05
optim_wrapper = dict(optimizer=dict(weight_decay=0.1))
