_base_ = [
    '../_base_/students/mambavqa-nano_easyvqa.py',
    '../_base_/teachers/llava-nano_easyvqa.py',
    '../_base_/distillers/wsab_vqa.py',
    '../_base_/datasets/easyvqa.py',
    '../_base_/schedules/easyvqa.py',
    '../_base_/easyvqa_runtime.py',
]

model = dict(
    type='transmamba_mm.KnowledgeTransfer',
    student={{_base_.student}},
    teacher={{_base_.teacher}},
    distiller={{_base_.distiller}},
    subcloning={{_base_.subcloning}},
    layer_map={{_base_.layer_map}},
)
