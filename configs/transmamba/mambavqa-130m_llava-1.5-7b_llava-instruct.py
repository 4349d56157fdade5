_base_ = [
    '../_base_/students/mambavqa-130m.py',
    '../_base_/teachers/llava-1.5-7b.py',
    '../_base_/distillers/wsab_language.py',
    '../_base_/datasets/llava_instruct.py',
    '../_base_/schedules/vqa_bs128_adamw.py',
    '../_base_/vqa_runtime.py',
]

model = dict(
    type='transmamba_mm.KnowledgeTransfer',
    student={{_base_.student}},
    teacher={{_base_.teacher}},
    distiller={{_base_.distiller}},
    subcloning={{_base_.subcloning}},
    layer_map={{_base_.layer_map}},
)
