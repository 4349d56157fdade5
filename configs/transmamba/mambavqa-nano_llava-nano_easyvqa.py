_base_ = [
    '../_base_/students/mambavqa-nano.py',
    '../_base_/teachers/llava-nano.py',
    '../_base_/methods/wsab.py',
    '../_base_/datasets/easyvqa.py',
    '../_base_/schedules/easyvqa.py',
    '../_base_/runtimes/easyvqa.py',
]

model = dict(student=_base_.student, teacher=_base_.teacher, **_base_.transfer)
