_base_ = [
    '../_base_/students/mambavqa-370m.py',
    '../_base_/teachers/llava-1.5-7b.py',
    '../_base_/methods/wsab.py',
    '../_base_/datasets/vqav2.py',
    '../_base_/schedules/vqa_bs128_adamw.py',
    '../_base_/runtimes/vqa.py',
]

model = dict(student=_base_.student, teacher=_base_.teacher, **_base_.transfer)
