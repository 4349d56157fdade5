_base_ = [
    '../_base_/students/mambavqa-130m.py',
    '../_base_/teachers/llava-1.5-7b.py',
    '../_base_/methods/wsab.py',
    '../_base_/datasets/vizwiz.py',
    '../_base_/schedules/vqa_small_bs128_adamw.py',
    '../_base_/runtimes/vqa.py',
]

model = dict(student=_base_.student, teacher=_base_.teacher, **_base_.transfer)
