_base_ = [
    '../_base_/students/videomamba-t.py',
    '../_base_/students/retriever-b32.py',
    '../_base_/teachers/clip-b32.py',
    '../_base_/methods/wsab.py',
    '../_base_/datasets/msrvtt.py',
    '../_base_/schedules/retrieval_bs128_adamw.py',
    '../_base_/runtimes/retrieval.py',
]

# A clip as one sequence.
model = dict(
    student=dict(
        _base_.retriever,
        vision=dict(_base_.student.backbone, num_frames=12, out_type='cls_token'),
    ),
    teacher=_base_.teacher,
    **_base_.transfer,
)
