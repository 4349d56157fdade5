_base_ = [
    '../_base_/teachers/deit-nano.py',
    '../_base_/datasets/digits.py',
    '../_base_/schedules/digits_teacher.py',
    '../_base_/runtimes/digits.py',
]

model = _base_.teacher.model

# Weaker than the students' augmentation, which a ViT does not fit in 1,000 steps.
data_preprocessor = dict(
    batch_augments=dict(augments=dict(rotate=10.0, translate=0.06, scale=0.1, shear=5.0))
)
