_base_ = [
    '../_base_/teachers/deit-nano_digits.py',
    '../_base_/datasets/digits.py',
    '../_base_/schedules/digits_teacher.py',
    '../_base_/digits_runtime.py',
]

model = {{_base_.teacher.model}}
