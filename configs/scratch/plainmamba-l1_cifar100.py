_base_ = [
    '../_base_/students/plainmamba-l1_cifar100.py',
    '../_base_/datasets/cifar100_bs128_224.py',
    '../_base_/schedules/cifar100_bs128_adamw.py',
    '../_base_/default_runtime.py',
]

model = {{_base_.student}}
