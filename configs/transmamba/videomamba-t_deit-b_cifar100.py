_base_ = [
    '../_base_/students/videomamba-tiny_cifar100.py',
    '../_base_/teachers/deit-base_cifar100.py',
    '../_base_/distillers/wsab.py',
    '../_base_/datasets/cifar100_bs128_224.py',
    '../_base_/schedules/cifar100_bs128_adamw.py',
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
