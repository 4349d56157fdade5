_base_ = [
    '../_base_/students/vmamba-nano_digits.py',
    '../_base_/datasets/digits.py',
    '../_base_/schedules/digits.py',
    '../_base_/digits_runtime.py',
]

model = {{_base_.student}}
