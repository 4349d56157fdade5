# The projector of a narrow student stays at inference ("Lift", arXiv 2511.15572): its head reads features as
# wide as the teacher's, and learns from the teacher's own.
_own, _teacher = _base_.model.student.head.in_channels, _base_.model.teacher.model.head.in_channels
model = dict(
    student=dict(
        neck=dict(
            type='LinearNeck',
            in_channels=_own,
            out_channels=_teacher,
            gap_dim=0,
            norm_cfg=None,
        ),
        head=dict(in_channels=_teacher),
    ),
    distiller=dict(embedding_weight=1.0),
)
