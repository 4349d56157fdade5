_base_ = [
    '../_base_/teachers/llava-nano_easyvqa.py',
    '../_base_/datasets/easyvqa.py',
    '../_base_/schedules/easyvqa.py',
    '../_base_/easyvqa_runtime.py',
]

model = {{_base_.teacher_model}}

# Its eyes are trained already: half the students' steps.
train_cfg = dict(max_iters=1000, val_interval=1000)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, begin=100, end=1000),
]
