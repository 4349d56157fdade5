_base_ = [
    '../_base_/students/vim-small_retrieval.py',
    '../_base_/teachers/clip-b32.py',
    '../_base_/distillers/wsab_clip.py',
    '../_base_/datasets/didemo.py',
    '../_base_/schedules/retrieval_small_bs128_adamw.py',
    '../_base_/retrieval_runtime.py',
]

model = dict(
    type='transmamba_mm.KnowledgeTransfer',
    student={{_base_.student}},
    teacher={{_base_.teacher}},
    distiller={{_base_.distiller}},
    subcloning=dict(
        vision=dict(type='transmamba_mm.WeightSubcloning'),
        text={{_base_.subcloning.text}},
    ),
    layer_map={{_base_.layer_map}},
)
