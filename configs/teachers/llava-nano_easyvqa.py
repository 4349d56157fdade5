_base_ = [
    '../_base_/teachers/llava-nano_easyvqa.py',
    '../_base_/datasets/easyvqa.py',
    '../_base_/schedules/easyvqa.py',
    '../_base_/easyvqa_runtime.py',
]

model = {{_base_.teacher_model}}
