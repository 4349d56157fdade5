_base_ = [
    '../_base_/teachers/deit-t.py',
    '../_base_/methods/wsab.py',
    '../_base_/datasets/imagenet_bs128.py',
    '../_base_/schedules/imagenet_bs1024_adamw_vim.py',
    '../_base_/runtimes/default.py',
]

_transformer = _base_.teacher.model
student = dict(
    type=_transformer.type,
    backbone=dict(type='transmamba_mm.AttentionSwap', transformer=_transformer.backbone),
    head=_transformer.head,
)
model = dict(student=student, teacher=_base_.teacher)
