_base_ = [
    '../_base_/students/mambavqa-130m.py',
    '../_base_/datasets/scienceqa.py',
    '../_base_/schedules/vqa_small_bs128_adamw.py',
    '../_base_/vqa_runtime.py',
]

model = {{_base_.student}}
