_base_ = [
    '../_base_/students/vim-s.py',
    '../_base_/teachers/deit-b.py',
    '../_base_/methods/wsab.py',
    '../_base_/datasets/imagenet_bs128.py',
    '../_base_/schedules/imagenet_bs1024_adamw_vim.py',
    '../_base_/runtimes/default.py',
]

model = dict(student=_base_.student, teacher=_base_.teacher)
model['student']['head']['num_classes'] = _base_.data_preprocessor.num_classes
