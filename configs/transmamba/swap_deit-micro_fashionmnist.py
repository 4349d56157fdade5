_base_ = [
    '../_base_/teachers/deit-micro.py',
    '../_base_/methods/wsab.py',
    '../_base_/datasets/fashionmnist.py',
    '../_base_/schedules/micro.py',
    '../_base_/runtimes/micro.py',
]

_transformer = _base_.teacher.model
student = dict(
    type=_transformer.type,
    backbone=dict(type='transmamba_mm.AttentionSwap', transformer=_transformer.backbone),
    head=_transformer.head,
)
model = dict(student=student, teacher=_base_.teacher)
