_base_ = [
    '../_base_/students/vmamba-t.py',
    '../_base_/teachers/deit-t_cifar100.py',
    '../_base_/methods/wsab.py',
    '../_base_/datasets/cifar100_bs128_224.py',
    '../_base_/schedules/cifar100_bs128_adamw.py',
    '../_base_/runtimes/default.py',
]

model = dict(student=_base_.student, teacher=_base_.teacher)
model['student']['head']['num_classes'] = _base_.data_preprocessor.num_classes
