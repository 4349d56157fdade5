_base_ = [
    '../_base_/students/plainmamba-micro.py',
    '../_base_/teachers/deit-micro.py',
    '../_base_/methods/wsab.py',
    '../_base_/datasets/fashionmnist.py',
    '../_base_/schedules/micro.py',
    '../_base_/runtimes/micro.py',
]

model = dict(student=_base_.student, teacher=_base_.teacher)
model['student']['head']['num_classes'] = _base_.data_preprocessor.num_classes

# PlainMamba has no patches of an odd side: its images are enlarged, and reduced for the teacher.
_resize = dict(type='Resize', scale=32)
train_dataloader = dict(dataset=dict(pipeline=[_resize, dict(type='PackInputs')]))
_test_pipeline = [
    dict(type='transmamba_mm.LoadImage', on_bad='raise'),
    dict(type='transmamba_mm.ToGrayscale'),
    _resize,
    dict(type='PackInputs'),
]
val_dataloader = dict(dataset=dict(pipeline=_test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=_test_pipeline))
model['teacher']['img_size'] = 28
