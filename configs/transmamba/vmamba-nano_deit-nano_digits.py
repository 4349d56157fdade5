_base_ = [
    '../_base_/students/vmamba-nano_digits.py',
    '../_base_/teachers/deit-nano_digits.py',
    '../_base_/distillers/wsab.py',
    '../_base_/datasets/digits.py',
    '../_base_/schedules/digits.py',
    '../_base_/digits_runtime.py',
]

model = dict(
    type='transmamba_mm.KnowledgeTransfer',
    student={{_base_.student}},
    teacher={{_base_.teacher}},
    distiller={{_base_.distiller}},
    subcloning={{_base_.subcloning}},
    layer_map={{_base_.layer_map}},
)
