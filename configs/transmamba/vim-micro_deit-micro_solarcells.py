_base_ = [
    '../_base_/students/vim-micro.py',
    '../_base_/teachers/deit-micro.py',
    '../_base_/methods/wsab.py',
    '../_base_/datasets/solarcells.py',
    '../_base_/schedules/micro.py',
    '../_base_/runtimes/micro.py',
]

model = dict(student=_base_.student, teacher=_base_.teacher)
for _part in (model['student'], model['teacher']['model']):
    _part['backbone'].update(img_size=64, patch_size=16)
    _part['head']['num_classes'] = _base_.data_preprocessor.num_classes
model['teacher']['checkpoint'] = 'work_dirs/deit-micro_solarcells'
