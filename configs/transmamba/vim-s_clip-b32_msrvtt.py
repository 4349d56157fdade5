_base_ = [
    '../_base_/students/vim-s.py',
    '../_base_/students/retriever-b32.py',
    '../_base_/teachers/clip-b32.py',
    '../_base_/methods/wsab.py',
    '../_base_/datasets/msrvtt.py',
    '../_base_/schedules/retrieval_bs128_adamw.py',
    '../_base_/runtimes/retrieval.py',
]

# Frame by frame, then the mean over frames.
model = dict(
    student=dict(
        _base_.retriever,
        vision=dict(_base_.student.backbone, out_type='cls_token'),
        temporal='mean',
    ),
    teacher=_base_.teacher,
    **_base_.transfer,
)
