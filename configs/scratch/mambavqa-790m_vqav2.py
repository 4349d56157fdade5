_base_ = [
    '../_base_/students/mambavqa-790m.py',
    '../_base_/datasets/vqav2.py',
    '../_base_/schedules/vqa_bs128_adamw.py',
    '../_base_/vqa_runtime.py',
]

model = {{_base_.student}}
