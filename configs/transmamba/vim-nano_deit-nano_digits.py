_base_ = [
    '../_base_/students/vim-nano.py',
    '../_base_/teachers/deit-nano.py',
    '../_base_/methods/wsab.py',
    '../_base_/datasets/digits.py',
    '../_base_/schedules/digits.py',
    '../_base_/runtimes/digits.py',
]

model = dict(student=_base_.student, teacher=_base_.teacher)
model['student']['head']['num_classes'] = _base_.data_preprocessor.num_classes
