_base_ = [
    '../_base_/students/vim-micro.py',
    '../_base_/teachers/deit-micro.py',
    '../_base_/methods/wsab.py',
    '../_base_/datasets/fashionmnist.py',
    '../_base_/schedules/micro.py',
    '../_base_/runtimes/micro.py',
]

model = dict(student=_base_.student, teacher=_base_.teacher)
model['student']['head']['num_classes'] = _base_.data_preprocessor.num_classes
