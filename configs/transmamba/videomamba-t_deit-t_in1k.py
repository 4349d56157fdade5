_base_ = [
    '../_base_/students/videomamba-tiny_in1k.py',
    '../_base_/teachers/deit-tiny_in1k.py',
    '../_base_/distillers/wsab.py',
    '../_base_/datasets/imagenet_bs128.py',
    '../_base_/schedules/imagenet_bs1024_adamw_vim.py',
    '../_base_/default_runtime.py',
]

model = dict(
    type='transmamba_mm.KnowledgeTransfer',
    student={{_base_.student}},
    teacher={{_base_.teacher}},
    distiller={{_base_.distiller}},
    subcloning={{_base_.subcloning}},
    layer_map={{_base_.layer_map}},
)
