_base_ = [
    '../_base_/students/videomamba-nano_movingdigits.py',
    '../_base_/teachers/clip-nano_movingdigits.py',
    '../_base_/distillers/wsab_retrieval.py',
    '../_base_/datasets/moving_digits.py',
    '../_base_/schedules/movingdigits.py',
    '../_base_/movingdigits_runtime.py',
]

model = dict(
    type='transmamba_mm.KnowledgeTransfer',
    student={{_base_.student}},
    teacher={{_base_.teacher}},
    distiller={{_base_.distiller}},
    subcloning={{_base_.subcloning}},
    layer_map={{_base_.layer_map}},
)
