_base_ = [
    '../_base_/students/videomamba-nano_movingdigits.py',
    '../_base_/teachers/clip-nano_movingdigits.py',
    '../_base_/distillers/logits.py',
    '../_base_/datasets/moving_digits.py',
    '../_base_/schedules/movingdigits.py',
    '../_base_/movingdigits_runtime.py',
]

model = dict(
    type='transmamba_mm.KnowledgeTransfer',
    student={{_base_.student}},
    teacher={{_base_.teacher}},
    distiller=dict(  # as in wsab_retrieval.py
        type='transmamba_mm.LogitsDistiller', task_weight=0.5, weight=0.2
    ),
    subcloning={{_base_.subcloning}},
    layer_map={{_base_.layer_map}},
)
