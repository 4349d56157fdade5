_base_ = [
    '../_base_/students/videomamba-nano.py',
    '../_base_/students/retriever-nano.py',
    '../_base_/teachers/clip-nano.py',
    '../_base_/methods/wsab.py',
    '../_base_/datasets/movingdigits.py',
    '../_base_/schedules/movingdigits.py',
    '../_base_/runtimes/movingdigits.py',
]

model = dict(
    student=dict(
        _base_.retriever,
        vision=dict(
            _base_.student.backbone,
            img_size=32,
            patch_size=8,
            in_channels=3,
            num_frames=4,
            out_type='avg_featmap',
        ),
    ),
    teacher=_base_.teacher,
    **_base_.transfer,
)
