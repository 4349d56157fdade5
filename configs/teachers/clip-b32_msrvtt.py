# CLIP4Clip's meanP: all of CLIP moves at a thousandth of the rate of what is new.
_base_ = [
    '../_base_/teachers/clip-b32.py',
    '../_base_/datasets/msrvtt.py',
    '../_base_/schedules/retrieval_bs128_adamw.py',
    '../_base_/runtimes/retrieval.py',
]

model = _base_.teacher.model

optim_wrapper = dict(optimizer=dict(lr=1e-7), paramwise_cfg=dict(_delete_=True))
