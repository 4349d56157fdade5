_base_ = [
    '../_base_/students/mambavqa-nano_easyvqa.py',
    '../_base_/teachers/llava-nano_easyvqa.py',
    '../_base_/distillers/logits.py',
    '../_base_/datasets/easyvqa.py',
    '../_base_/schedules/easyvqa.py',
    '../_base_/easyvqa_runtime.py',
]

model = dict(
    type='transmamba_mm.KnowledgeTransfer',
    student={{_base_.student}},
    teacher={{_base_.teacher}},
    distiller=dict(  # as in wsab_vqa.py
        type='transmamba_mm.LogitsDistiller', task_weight=0.5, weight=1.0
    ),
    subcloning={{_base_.subcloning}},
    layer_map={{_base_.layer_map}},
)
