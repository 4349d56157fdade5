# CLIP over frames and their mean (meanP of CLIP4Clip, arXiv 2104.08860): it finds videos without any
# training. To learn from one trained on them (configs/teachers/clip-b32_*.py):
# --cfg-options model.teacher.checkpoint=work_dirs/clip-b32_msrvtt
teacher = dict(
    model=dict(
        type='transmamba_mm.Clip4ClipTeacher',
        checkpoint='openai/clip-vit-base-patch32',
        temporal='mean',
    )
)
