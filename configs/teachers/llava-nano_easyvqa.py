_base_ = [
    '../_base_/teachers/llava-nano.py',
    '../_base_/datasets/easyvqa.py',
    '../_base_/schedules/easyvqa.py',
    '../_base_/runtimes/easyvqa.py',
]

model = _base_.teacher_model
