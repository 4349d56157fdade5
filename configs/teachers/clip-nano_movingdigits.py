_base_ = [
    '../_base_/teachers/clip-nano_movingdigits.py',
    '../_base_/datasets/moving_digits.py',
    '../_base_/schedules/movingdigits.py',
    '../_base_/movingdigits_runtime.py',
]

model = {{_base_.teacher_model}}
